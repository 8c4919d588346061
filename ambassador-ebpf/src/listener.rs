// SPDX-License-Identifier: Apache-2.0
//! What the filter of a listener needs to know of it.

use crate::plain::Plain;

/// How many rings of events there can be.
pub const MAX_RINGS: u32 = 64;

/// Value of the map `LISTENER`, whose key is the cookie of the listening socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Cookie of the network namespace that it stands in, which a socket filter cannot ask for.
    pub netns_cookie: u64,
    /// The ring in which user space is told of the SYNs that it holds: an index into `EVENTS`, below [`MAX_RINGS`].
    pub ring: u32,
    /// Always 0.
    pub padding: [u8; 4],
}

// SAFETY: repr(C), integers and an array of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Listener {}

const _: () = assert!(size_of::<Listener>() == 8 + 4 + 4);
