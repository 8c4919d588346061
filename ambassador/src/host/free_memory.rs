// SPDX-License-Identifier: Apache-2.0
//! Gives free memory back to the kernel when much of it has gathered.
//!
//! The C library keeps what is freed below anything that is still used. After many bodies have waited for their readers
//! that would be a hundred megabytes, for as long as ambassador runs. It must never be done often: it walks the heaps.

#![cfg_attr(target_env = "gnu", allow(unsafe_code, reason = "std cannot ask the allocator what it keeps"))]

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Looks for free memory once in a while, for ever.
pub async fn keep_giving_back() {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(resident) = resident().filter(|resident| *resident > KEPT_MOST) else { continue };
        // Asked only now, because the answer takes a walk along all that is free.
        if in_use().is_some_and(|used| resident.saturating_sub(used) > KEPT_MOST) {
            give_back();
        }
    }
}

/// Resident memory of this process that is not mapped from a file, in bytes (proc(5), `statm`).
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(resident.saturating_sub(shared) * u64::try_from(page).ok()?)
}

/// What is allocated, in bytes.
#[cfg(target_env = "gnu")]
fn in_use() -> Option<u64> {
    // SAFETY: may be called at any time; it only reads the allocator's books, under its locks.
    let books = unsafe { libc::mallinfo2() };
    u64::try_from(books.uordblks + books.hblkhd).ok()
}

/// Gives back what is free, now.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back() {
    // SAFETY: may be called at any time; it only returns memory that is free.
    unsafe { libc::malloc_trim(0) };
}

/// Another C library is left to itself.
#[cfg(not(target_env = "gnu"))]
fn in_use() -> Option<u64> {
    None
}

/// Another C library is left to itself.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}

const PERIOD: Duration = Duration::from_secs(2);
/// How much free memory is kept for what comes next, in bytes.
const KEPT_MOST: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_covers_what_is_in_use() {
        let touched = vec![1_u8; 1 << 20];
        let (resident, used) = (resident().expect("statm"), in_use().unwrap_or(1));
        assert!(touched.len() as u64 <= resident && used > 0, "{resident} resident, {used} in use");
    }
}
