// SPDX-License-Identifier: Apache-2.0
//! The verdicts of user space on connections that are held.
//!
//! Most are a word of memory, written before the SYN is sent again and taken back when the connection is accepted, or
//! closes before. A connection whose word is another one's has its verdict in a map, from which it is removed when it
//! closes. Nothing is noted in the connection's own entry: memory of an entry that was removed is used again at once, so
//! what is written late would meet another connection.

use ambassador_ebpf::verdict::word_of;

use crate::{
    lookup,
    maps::{VERDICT, VERDICT_WORDS},
};

/// Whether a client socket's connection is let in.
#[inline(always)]
pub(crate) fn is_given(socket_cookie: u64) -> bool {
    is_written(socket_cookie) || is_kept(socket_cookie)
}

#[inline(always)]
fn is_written(socket_cookie: u64) -> bool {
    let word = word(socket_cookie);
    // SAFETY: the pointer comes from a lookup and is that of an aligned word; user space writes it at any time.
    !word.is_null() && unsafe { word.read_volatile() } == socket_cookie
}

#[inline(always)]
fn is_kept(socket_cookie: u64) -> bool {
    !lookup::get::<_, u32, 1>(&VERDICT, [socket_cookie]).is_null()
}

/// Gives the word back, if it has this verdict; whether it had.
#[inline(always)]
pub(crate) fn take(socket_cookie: u64) -> bool {
    let word = word(socket_cookie);
    if word.is_null() {
        return false;
    }
    let mut found = socket_cookie;
    // Rust has no atomics for this target, but the kernel has (Linux 5.12).
    // SAFETY: the pointer comes from a successful lookup and is that of an aligned word, which all change atomically.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {nobody})",
            word = in(reg) word,
            nobody = in(reg) 0_u64,
            inout("r0") found,
        );
    }
    found == socket_cookie
}

/// Removes one from the map; whether it was there.
#[inline(always)]
pub(crate) fn forget(socket_cookie: u64) -> bool {
    lookup::remove(&VERDICT, [socket_cookie])
}

#[inline(always)]
fn word(socket_cookie: u64) -> *mut u64 {
    lookup::get(&VERDICT_WORDS, [word_of(socket_cookie).into()])
}
