// SPDX-License-Identifier: Apache-2.0
//! What processes have used, as /proc accounts for it: processor time and memory.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Resident and proportional memory, KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Pages that are mapped; shared ones count for each process.
    pub(crate) resident: f64,
    /// Each shared page divided among those who share it.
    pub(crate) proportional: f64,
}

/// The processes below `pid`, and itself.
pub(crate) fn family(pid: Pid) -> Vec<Pid> {
    let mut all = vec![pid];
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        all.extend(children.flat_map(|child| family(Pid::from_raw(child))));
    }
    all
}

/// User and system time of `processes`, all of their threads, in seconds.
pub(crate) fn processor_time(processes: &[Pid]) -> Result<f64> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    let mut ticks = 0;
    for pid in processes {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        ticks += spent(&stat).with_context(|| format!("{path}: {stat}"))?;
    }
    #[allow(clippy::cast_precision_loss, reason = "ticks of a few minutes")]
    Ok(ticks as f64 / per_second as f64)
}

/// The memory of `processes`.
pub(crate) fn memory(processes: &[Pid]) -> Result<Memory> {
    let mut sum = Memory::default();
    for pid in processes {
        let path = Path::new("/proc").join(pid.to_string()).join("smaps_rollup");
        let rollup = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let kib = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        };
        sum.resident += kib("Rss:").with_context(|| rollup.clone())?;
        sum.proportional += kib("Pss:").with_context(|| rollup.clone())?;
    }
    Ok(sum)
}

/// utime and stime (`proc_pid_stat(5)`, fields 14 and 15); the name in field 2 may contain anything.
fn spent(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 10 0 0 0 700 30 5 6 20 0 1 0 100 0 0";
        assert_eq!(spent(stat), Some(730));
    }

    #[test]
    fn this_process_uses_memory() {
        let memory = memory(&[Pid::this()]).unwrap();
        assert!(memory.resident >= memory.proportional && memory.proportional > 100.0, "{memory:?}");
    }
}
