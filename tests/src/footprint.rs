// SPDX-License-Identifier: Apache-2.0
//! What a process takes of the machine, by `/proc`: memory now and at its height, processor time, open files.
//!
//! It exists so that every suite about limits measures the same thing. The height is the kernel's own (`VmHWM`), so
//! that no peak between two looks is missed.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::Pid;

use crate::wait;

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Resident bytes.
    pub resident: u64,
    /// Resident bytes at their height, since the start or [`forget_peak`].
    pub peak: u64,
    /// Processor time of all threads since the start.
    pub processor: Duration,
    /// Open file descriptors.
    pub files: usize,
}

impl Footprint {
    /// Looks at `pid`.
    pub fn of(pid: Pid) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let status = read("status")?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).context("list the open files")?.count();
        let (resident, peak) = (kibibytes(&status, "VmRSS:")?, kibibytes(&status, "VmHWM:")?);
        Ok(Self { resident, peak, processor: processor(&read("stat")?)?, files })
    }
}

/// Lets the height of `pid`'s memory begin anew.
pub fn forget_peak(pid: Pid) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    // "5" resets VmHWM (proc(5), Linux 4.0).
    fs::write(&path, "5").with_context(|| format!("write {path}"))
}

/// Waits for a stretch of half a second in which `pid` takes less than `share` of one processor.
pub fn until_idle(pid: Pid, share: f64, within: Duration) -> Result<()> {
    let mut before = (Instant::now(), Footprint::of(pid)?.processor);
    wait::until(&format!("half a second below {share} of a processor"), within, || {
        let elapsed = before.0.elapsed();
        if elapsed < Duration::from_millis(500) {
            return Ok(None);
        }
        let processor = Footprint::of(pid)?.processor;
        let used = processor.saturating_sub(before.1).as_secs_f64() / elapsed.as_secs_f64();
        before = (Instant::now(), processor);
        Ok((used < share).then_some(()))
    })
}

fn kibibytes(status: &str, field: &str) -> Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| field.to_owned())?;
    Ok(value.trim().trim_end_matches(" kB").parse::<u64>().with_context(|| value.to_owned())? * 1024)
}

/// `utime` and `stime` of `/proc/PID/stat`, which follow the name in parentheses, in ticks of 10 ms.
fn processor(stat: &str) -> Result<Duration> {
    let (_, fields) = stat.rsplit_once(") ").context("a stat line has a name")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(10 * ticks))
}
