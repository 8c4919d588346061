// SPDX-License-Identifier: Apache-2.0
//! The table of redirected connections, and how full it is.
//!
//! A connection that is redirected but has no entry is dropped or reset, so `connect()` must know beforehand whether
//! there is room. The count may be off by the few connections that take over a tuple at the very same moment; the
//! limit lies far enough below the size of the map.

use ambassador_ebpf::{flow::Flow, tuple::Tuple};
use aya_ebpf::bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};

use crate::{
    lookup,
    maps::{FLOW, LOST, OPEN},
};

/// How many redirected connections are open.
#[inline(always)]
pub(crate) fn open() -> u64 {
    let open: *mut u64 = lookup::get(&OPEN, [0]);
    // SAFETY: the pointer comes from a lookup, and a word is read at once.
    let open = if open.is_null() { 0 } else { unsafe { open.read() } };
    // A count that has drifted below zero is none.
    if open.cast_signed() < 0 { 0 } else { open }
}

/// Enters a connection, also over one of the same tuple whose socket has not withdrawn it; false when there is no room.
#[inline(always)]
pub(crate) fn enter(key: &Tuple, flow: &Flow) -> bool {
    if lookup::set(&FLOW, key.words(), flow, BPF_NOEXIST) {
        add(1);
        return true;
    }
    if lookup::set(&FLOW, key.words(), flow, BPF_EXIST) {
        return true;
    }
    lookup::set(&LOST, key.words(), &1_u64, BPF_ANY);
    false
}

/// Whether a connection was redirected from there for which there was no room: nothing is known of it, and so nothing
/// may be said of its destination.
#[inline(always)]
pub(crate) fn is_lost(key: &Tuple) -> bool {
    !lookup::get::<_, u64, 6>(&LOST, key.words()).is_null()
}

/// Nobody is lost there any more.
#[inline(always)]
pub(crate) fn forget_lost(key: &Tuple) {
    lookup::remove(&LOST, key.words());
}

/// The entry of a tuple, whoever's it is.
#[inline(always)]
pub(crate) fn find<'a>(key: &Tuple) -> Option<&'a mut Flow> {
    let flow: *mut Flow = lookup::get(&FLOW, key.words());
    // SAFETY: the memory of an entry stays one of this map for as long as a program runs, but from Linux 6.1 on it may
    // be another connection's meanwhile, if this one is removed. The kernel programs write single fields that only one
    // of them writes, and never keep a reference beyond their run.
    unsafe { flow.as_mut() }
}

/// The entry of a tuple, if it is this socket's: the tuple may already belong to a newer one.
#[inline(always)]
pub(crate) fn find_own<'a>(key: &Tuple, socket_cookie: u64) -> Option<&'a mut Flow> {
    find(key).filter(|flow| flow.origin.socket_cookie == socket_cookie)
}

/// Removes the entry of a tuple.
#[inline(always)]
pub(crate) fn remove(key: &Tuple) {
    if lookup::remove(&FLOW, key.words()) {
        add(u64::MAX);
    }
}

/// Adds to the count, wrapping: `u64::MAX` takes one away.
#[inline(always)]
fn add(step: u64) {
    let open: *mut u64 = lookup::get(&OPEN, [0]);
    if !open.is_null() {
        // Rust has no atomic addition for a target without compare-and-swap, but the kernel has.
        // SAFETY: the pointer comes from a successful lookup and is aligned as the map's values are; every program
        // changes it atomically.
        unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) open, in(reg) step) };
    }
}
