// SPDX-License-Identifier: Apache-2.0
//! When a redirected connection is let in: at once, or only after its destination has answered.
//!
//! A listener that accepts at once makes `connect()` succeed for destinations that are closed, unreachable or dead.
//! Where the proxy is able to answer a SYN late, the SYN is held until the destination is known to accept; this is
//! the choice between the two, made once, in `connect()`.

use crate::{counter::Counter, decide::Facts, landing::Landing};

/// How the SYN of a redirected connection is treated by the filter of its listener.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its listener has no filter: let in, nobody is told.
    Unfiltered = 0,
    /// Held back until user space admits it.
    Held = 1,
    /// Let in, because the destination accepted a moment ago; user space is told only if the client gives it up.
    Shortcut = 2,
    /// Let in, because the destination is configured so.
    Eager = 3,
}

impl Admission {
    /// The counter of connections that are let in at once where others are held.
    #[inline(always)]
    pub const fn counter(self) -> Option<Counter> {
        match self {
            Self::Unfiltered | Self::Held => None,
            Self::Shortcut => Some(Counter::SynShortcut),
            Self::Eager => Some(Counter::SynEager),
        }
    }
}

/// Decides how a connection that is redirected to `landing` at `now_ns` is let in.
///
/// The heartbeat needs no question here: with a stale one nothing is redirected. The order is that of the cost, but
/// for the configuration, which comes before what was learnt.
#[inline(always)]
pub fn admission(facts: &impl Facts, landing: &Landing, now_ns: u64) -> Admission {
    if landing.truthful == 0 {
        return Admission::Unfiltered;
    }
    if facts.is_eager() {
        return Admission::Eager;
    }
    if now_ns < facts.good_until_ns() {
        return Admission::Shortcut;
    }
    Admission::Held
}
