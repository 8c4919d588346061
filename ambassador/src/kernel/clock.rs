// SPDX-License-Identifier: Apache-2.0
//! The kernel programs' clock.
#![allow(unsafe_code, reason = "std has no reading of CLOCK_MONOTONIC in the kernel's unit")]

/// `CLOCK_MONOTONIC` in ns: the clock of heartbeats and of `until` in the refuse list (`bpf_ktime_get_ns`).
///
/// Inside a time namespace with an offset the two differ.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid timespec, and this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
