// SPDX-License-Identifier: Apache-2.0
//! What `/proc/self` says about this process, read at each scrape. A value that can not be read is left out.

use std::fs;

/// Resident memory in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    parse_resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Open file descriptors, without the one that counting them takes.
pub(crate) fn open_fds() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(entries).ok()?.checked_sub(1)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(parse_resident("VmPeak:\t 9 kB\nVmRSS:\t    4096 kB\n"), Some(4096 * 1024));
        assert_eq!(parse_resident("VmPeak:\t 9 kB\n"), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
        assert!(open_fds().is_some_and(|count| count >= 3));
    }
}
