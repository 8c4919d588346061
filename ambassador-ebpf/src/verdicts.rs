// SPDX-License-Identifier: Apache-2.0
//! The verdicts of user space on connections that are held.
//!
//! Most are a word of memory, written before the SYN is sent again and taken back when the connection is accepted, or
//! closes before. A connection whose word is another one's has its verdict in a map, from which it is removed when it
//! closes. Nothing is noted in the connection's own entry: memory of an entry that was removed is used again at once, so
//! what is written late would meet another connection.

use ambassador_ebpf::verdict::{Ticket, place_of};

use crate::{
    lookup,
    maps::{VERDICT, VERDICT_WORDS},
};

/// Whether a connection is let in.
#[inline(always)]
pub(crate) fn is_given(ticket: Ticket) -> bool {
    is_written(ticket) || is_kept(ticket)
}

#[inline(always)]
fn is_written(ticket: Ticket) -> bool {
    let word = word(ticket);
    // SAFETY: the pointer comes from a lookup and is that of an aligned word; user space writes it at any time.
    !word.is_null() && unsafe { word.read_volatile() } == ticket.word()
}

#[inline(always)]
fn is_kept(ticket: Ticket) -> bool {
    !lookup::get::<_, u32, 1>(&VERDICT, [ticket.word()]).is_null()
}

/// Gives the word back, if it has this verdict; whether it had.
#[inline(always)]
pub(crate) fn take(ticket: Ticket) -> bool {
    let word = word(ticket);
    if word.is_null() {
        return false;
    }
    let mut found = ticket.word();
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
    found == ticket.word()
}

/// Removes one from the map; whether it was there.
#[inline(always)]
pub(crate) fn forget(ticket: Ticket) -> bool {
    lookup::remove(&VERDICT, [ticket.word()])
}

#[inline(always)]
fn word(ticket: Ticket) -> *mut u64 {
    lookup::get(&VERDICT_WORDS, [place_of(ticket.word()).into()])
}
