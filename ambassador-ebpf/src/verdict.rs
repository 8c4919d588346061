// SPDX-License-Identifier: Apache-2.0
//! What a verdict is known by, and where verdicts lie that are read at once: words that user space writes without a
//! system call.
//!
//! A verdict lives from the moment in which it is given until the connection is accepted, which is mostly some
//! microseconds. So few words are enough. One that is taken is left to its owner; who meets it gives the verdict in the
//! map `VERDICT`.

/// How many words the map `VERDICT_WORDS` has; a power of two.
pub const VERDICT_WORDS: u32 = 4096;

/// One connection of one socket: what a verdict is given on.
///
/// The socket alone does not name it: one that was disconnected (`AF_UNSPEC`), or whose connect has failed, may dial
/// another destination at once, to which a verdict that comes late must not let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Cookie of the client's socket.
    pub socket_cookie: u64,
    /// Initial sequence number of the connection's SYN, in host byte order.
    pub isn: u32,
}

impl Ticket {
    /// What stands for it in `VERDICT_WORDS`, and is its key in `VERDICT`. Never that of another connection of the same
    /// socket, and of another socket only if some 2^32 were made in between.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.socket_cookie ^ (self.isn as u64) << 32
    }
}

/// Where a verdict lies among the words, given what stands for it; the word there is 0 when it is nobody's.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "what is cut off are multiples of their number")]
pub const fn place_of(verdict: u64) -> u32 {
    verdict as u32 % VERDICT_WORDS
}
