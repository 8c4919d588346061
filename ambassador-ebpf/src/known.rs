// SPDX-License-Identifier: Apache-2.0
//! The name of a destination of which something is known.

use crate::{
    address::Address,
    landing::Endpoint,
    plain::{Plain, word},
};

/// What a place of the map `GOOD` is taken by (known to accept connections); and the key of the map `SOURCE`, whose value
/// is the address from which the destination is reached.
///
/// The namespace is part of it because the same address leads elsewhere from another one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// Cookie of the network namespace that it was dialled from.
    pub netns_cookie: u64,
    /// The destination's address.
    pub address: Address,
    /// The destination's port, in network byte order.
    pub port_be: u32,
    /// Always 0.
    pub padding: [u8; 4],
}

// SAFETY: repr(C), integers and arrays of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Known {}

const _: () = assert!(size_of::<Known>() == 8 + 16 + 4 + 4);

impl Known {
    /// The name of a destination as seen from a namespace.
    #[inline(always)]
    pub const fn new(netns_cookie: u64, destination: &Endpoint) -> Self {
        Self {
            netns_cookie,
            address: destination.address,
            port_be: destination.port_be as u32,
            padding: [0; 4],
        }
    }

    /// The name of an address with whatever port.
    #[inline(always)]
    pub const fn host(netns_cookie: u64, address: Address) -> Self {
        Self { netns_cookie, address, port_be: 0, padding: [0; 4] }
    }

    /// The key as it lies in memory, in machine words.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 4] {
        let [first, second] = self.address.words();
        [self.netns_cookie, first, second, word(self.port_be, 0)]
    }

    /// Where it may lie in the map `GOOD`. Others may, too: the last one has the place.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the shift leaves no more bits than the places have")]
    pub const fn place(&self) -> u32 {
        let [netns_cookie, first, second, port] = self.words();
        let folded = fold(fold(fold(fold(0, netns_cookie), first), second), port);
        (folded >> (u64::BITS - GOOD_PLACES.ilog2())) as u32
    }
}

/// Spreads what differs in few bits, as the last steps of `MurmurHash3` do.
#[inline(always)]
const fn fold(folded: u64, word: u64) -> u64 {
    let product = (folded ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    product ^ product >> 33
}

/// How many places the map `GOOD` has; a power of two.
pub const GOOD_PLACES: u32 = 8192;

/// A place of the map `GOOD`: the monotonic time in ns at which the knowledge lapses, and then the words of the [`Known`]
/// whose it is. A time that has lapsed, as 0 and [`BEING_WRITTEN`] have for ever, is no knowledge.
///
/// Whoever reads looks at the time before and after the words: while they are changed, it is [`BEING_WRITTEN`].
pub type GoodPlace = [u64; 5];

/// The time of a place that is about to become another destination's.
pub const BEING_WRITTEN: u64 = 1;
