// SPDX-License-Identifier: Apache-2.0
//! The name of a destination of which something is known.

use crate::{
    address::Address,
    landing::Endpoint,
    plain::{Plain, word},
};

/// Key of the map `GOOD` (known to accept connections), whose value is the monotonic time in ns at which the knowledge
/// lapses; and of the map `SOURCE`, whose value is the address from which the destination is reached.
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
}
