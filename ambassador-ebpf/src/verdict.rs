// SPDX-License-Identifier: Apache-2.0
//! Where verdicts lie that are read at once: words that user space writes without a system call.
//!
//! A verdict lives from the moment in which it is given until the connection is accepted, which is mostly some
//! microseconds. So few words are enough. One that is taken is left to its owner; who meets it gives the verdict in the
//! map `VERDICT`.

/// How many words the map `VERDICT_WORDS` has; a power of two.
pub const VERDICT_WORDS: u32 = 4096;

/// The word that a connection's verdict is written into, by the cookie of its client socket: the cookie itself, and 0
/// when it is nobody's.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "what is cut off are multiples of their number")]
pub const fn word_of(socket_cookie: u64) -> u32 {
    socket_cookie as u32 % VERDICT_WORDS
}
