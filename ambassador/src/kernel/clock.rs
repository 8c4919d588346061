// SPDX-License-Identifier: Apache-2.0
//! The kernel programs' clock.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in ns: the clock of heartbeats and of `until` in the refuse list (`bpf_ktime_get_ns`).
///
/// Inside a time namespace with an offset the two differ.
pub fn monotonic_ns() -> u64 {
    // This clock exists on every Linux; 0 would only make the heartbeat stale.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        now.tv_sec().cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec().cast_unsigned())
    })
}
