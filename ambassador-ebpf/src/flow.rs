// SPDX-License-Identifier: Apache-2.0
//! One redirected connection from `connect()` to close: its origin, and what has happened to its SYN.
//!
//! Origin and state share one entry under one [`Tuple`](crate::tuple::Tuple), because they live exactly as long as
//! each other: one insert and one removal per connection, and only one table that can be full.

use crate::{admission::Admission, origin::Origin, plain::Plain, verdict::Ticket};

/// How many redirected connections can be open at once unless the loader says otherwise.
pub const MAX_FLOWS: u32 = 65_536;

/// Value of the maps `ORIG_SK` (as `connect()` leaves it), `FLOW` and `ACC_SK` (as it was when it was accepted).
///
/// The state is bytes and not bits: the two ends write different fields of one entry at the same time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Where the program wanted to go, and who it is.
    pub origin: Origin,
    /// Initial sequence number of the SYN, in host byte order; see `has_isn`.
    pub isn: u32,
    /// 1 once `isn` is known; 0 is a valid sequence number.
    pub has_isn: u8,
    /// An [`Admission`].
    pub admission: u8,
    /// 0 until user space was told of the connection; then one more than the ring in which it was.
    pub told: u8,
    /// 1 once the connection is established at its listener too, so that it will be accepted.
    pub delivered: u8,
}

// SAFETY: repr(C), integers and a type of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Flow {}

const _: () = assert!(size_of::<Flow>() == size_of::<Origin>() + 4 + 4);

impl Flow {
    /// What a verdict on the connection is known by, once its SYN has a sequence number.
    #[inline(always)]
    pub const fn ticket(&self) -> Ticket {
        Ticket { socket_cookie: self.origin.socket_cookie, isn: self.isn }
    }

    /// Whether a handshake that begins with the sequence number `isn` is this connection's: the port of one that was
    /// abandoned may be another's before the end of its handshake arrives. Of some nobody noted it.
    #[inline(always)]
    pub const fn is_of(&self, isn: u32) -> bool {
        self.has_isn == 0 || self.isn == isn
    }
}

/// What the filter of a listener does with a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Let it in.
    Admit,
    /// Drop it in silence: the client's timer sends it again.
    Hold,
    /// As `Hold`, and tell user space.
    Tell,
    /// Drop it, and have user space refuse it: no connection is known by its addresses.
    NoFlow,
    /// Drop it: it belongs to an earlier connection of the same addresses, and was delayed or replayed.
    WrongIsn,
}

/// Decides about a SYN of sequence number `sequence` (host byte order) that arrived at a filtered listener.
///
/// A held SYN stays held while the proxy's heartbeat is stale: the program's own timer runs, which is the truth,
/// whereas the backlog of a stopped proxy would answer it with a lie.
#[inline(always)]
pub fn fate(flow: Option<&Flow>, sequence: u32, is_admitted: impl FnOnce(Ticket) -> bool) -> Fate {
    let Some(flow) = flow else { return Fate::NoFlow };
    // Nobody noted its sequence number.
    if flow.admission == UNFILTERED {
        return Fate::Admit;
    }
    if flow.has_isn == 0 || flow.isn != sequence {
        return Fate::WrongIsn;
    }
    if flow.admission != HELD || is_admitted(flow.ticket()) {
        return Fate::Admit;
    }
    if flow.told == 0 { Fate::Tell } else { Fate::Hold }
}

const HELD: u8 = Admission::Held as u8;
const UNFILTERED: u8 = Admission::Unfiltered as u8;
