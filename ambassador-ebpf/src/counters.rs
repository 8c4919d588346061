// SPDX-License-Identifier: Apache-2.0
//! Counting.

use ambassador_ebpf::counter::Counter;

use crate::{lookup, maps::STATS};

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    let slot: *mut u64 = lookup::get(&STATS, [counter.slot().into()]);
    if !slot.is_null() {
        // SAFETY: the pointer comes from a successful lookup; the slot belongs to this CPU, and a program of the
        // kernel does not migrate while it runs.
        unsafe { *slot += 1 }
    }
}
