// SPDX-License-Identifier: Apache-2.0
//! Truthful `connect()`: a program's SYN is held while its destination is dialled, and then answered as the
//! destination answered.
//!
//! The kernel side drops the SYN silently and hands a copy up. A successful dial lets the copy through to the
//! listener, so that `connect()` succeeds and the accepted flow finds its upstream connection ready; a refusal or an
//! unreachable way is answered in packets that fail the very `connect()` that is waiting. Where nothing is known
//! about the destination, nothing is answered: the program's own timers decide, as they would have directly.
//!
//! ```text
//! program            listener's filter        proxy                     destination
//!    | SYN ------------->| (dropped) ----copy----->|                          |
//!    |                   |                         | SYN -------------------->|
//!    |                   |                         |<---------------- SYN,ACK |
//!    |                   |<------ the same SYN ----| (raw socket)             |
//!    |<--------- SYN,ACK |                         |                          |
//!
//!    |                   |                         |<-------------------- RST |
//!    |<------------------------------------ RST,ACK| (raw socket)             |
//! ```
//!
//! The modules stand in the order in which a held connection meets them. None of them may answer for a destination
//! that did not answer itself.

mod checksum;
mod packet;
mod captured;
mod key;
pub mod table;
mod handover;
pub mod dialling;
pub mod answer;
pub mod verdicts;
mod raw;
#[cfg(test)]
pub(crate) mod fixtures;

pub use captured::{PacketError, Syn, Unreachable, reset_after_allow};
pub use handover::{Claim, Promise};
pub use key::FlowKey;
pub use packet::Packet;
pub use raw::{RawFamily, RawSocketError, RawSockets};
