// SPDX-License-Identifier: Apache-2.0
//! A bound on the memory of a process, by the kernel.
//!
//! What the process allocates is bounded by `RLIMIT_DATA`, beyond which it would abort. Where the memory controller is
//! mounted as cgroup v1 it is also put into a group of that size, which counts what the kernel allocates for it, too,
//! and in which it would be killed. (With cgroup2 alone a group has room for one purpose only, and ambassador's own
//! groups take it.)

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// A limit; it lasts until the guard is dropped and the processes in it have ended.
#[derive(Debug)]
pub struct MemoryLimit {
    bytes: u64,
    group: Option<PathBuf>,
}

impl MemoryLimit {
    /// Makes a limit of so many bytes.
    pub fn new(bytes: u64) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
        let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| {
            matches!(fields[..], [_, _, "cgroup", options, ..] if options.split(',').any(|word| word == "memory"))
        });
        let group = mount.map(|fields| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            PathBuf::from(fields[1]).join(format!("ambassador-test-{}-{number}", std::process::id()))
        });
        if let Some(group) = &group {
            fs::create_dir(group).with_context(|| format!("make {} (root?)", group.display()))?;
            fs::write(group.join("memory.limit_in_bytes"), bytes.to_string()).context("set the limit")?;
        }
        Ok(Self { bytes, group })
    }

    /// The commands of the shell that put it and what it executes under this limit.
    pub fn commands(&self) -> String {
        let data = format!("ulimit -d {}", self.bytes / 1024);
        match &self.group {
            Some(group) => format!("{data} && echo $$ > {}/cgroup.procs", group.display()),
            None => data,
        }
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            let _ = fs::remove_dir(group);
        }
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);
