// SPDX-License-Identifier: Apache-2.0
//! What user space is told of the connections that wait for their destination.
//!
//! Records of the ring buffers in `EVENTS`: an [`Event`], which [`SYN_BYTES`] follow when a SYN is kept back.

use crate::{origin::Origin, plain::Plain, tuple::Tuple};

/// Room for a SYN's headers: at most 60 bytes of IP and 60 of TCP.
pub const SYN_BYTES: usize = 128;

/// Kind of an [`Event`]: a SYN is held. The record is a [`HeldEvent`].
pub const HELD: u32 = 1;
/// Kind of an [`Event`]: the client gave up before its connection came to a listener.
pub const CLOSED: u32 = 2;
/// Kind of an [`Event`]: a SYN came to a listener, but nobody was redirected from there. The record is a
/// [`HeldEvent`] without origin.
pub const STRAY: u32 = 3;

/// One event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// [`HELD`], [`CLOSED`] or [`STRAY`].
    pub kind: u32,
    /// Initial sequence number of the client, in host byte order; 0 in a stray, whose record has the SYN itself.
    pub isn: u32,
    /// How many bytes of the SYN are valid; 0 when the SYN is not part of the record.
    pub syn_len: u32,
    /// 1 when the connection had been admitted before it was closed, else 0.
    pub admitted: u32,
    /// The connection's addresses.
    pub tuple: Tuple,
    /// Where it was meant to go, and who made it.
    pub origin: Origin,
}

/// A [`HELD`] or [`STRAY`] event.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldEvent {
    /// What the other kinds have too.
    pub event: Event,
    /// The IP and TCP headers of the SYN, with their options; bytes beyond `syn_len` mean nothing.
    pub syn: [u8; SYN_BYTES],
}

// SAFETY: repr(C), integers and types of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Event {}
// SAFETY: as above.
unsafe impl Plain for HeldEvent {}

const _: () = assert!(size_of::<Event>() == 4 * 4 + size_of::<Tuple>() + size_of::<Origin>());
const _: () = assert!(size_of::<HeldEvent>() == size_of::<Event>() + SYN_BYTES);
