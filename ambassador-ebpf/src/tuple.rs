// SPDX-License-Identifier: Apache-2.0
//! The name of a redirected connection that both of its ends can compute.

use crate::{
    address::Address,
    landing::Endpoint,
    plain::{Plain, half_word, word},
};

/// Key of the map `FLOW`: a connection to a listener, seen alike from the client and from the accepting side.
///
/// The namespace is part of it because two namespaces use the same addresses and ports; the listener's address is
/// part of it because a client port may be in use towards several listener addresses at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Cookie of the network namespace.
    pub netns_cookie: u64,
    /// Source address of the connection.
    pub client: Address,
    /// Listener's address.
    pub listener: Address,
    /// Source port, in network byte order.
    pub client_port_be: u16,
    /// Listener's port, in network byte order.
    pub listener_port_be: u16,
    /// Always 0.
    pub padding: [u8; 4],
}

// SAFETY: repr(C), integers and arrays of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Tuple {}

const _: () = assert!(size_of::<Tuple>() == 8 + 16 + 16 + 2 + 2 + 4);

impl Tuple {
    /// The name of the connection between these two, in a namespace.
    #[inline(always)]
    pub const fn new(netns_cookie: u64, client: &Endpoint, listener: &Endpoint) -> Self {
        Self {
            netns_cookie,
            client: client.address,
            listener: listener.address,
            client_port_be: client.port_be,
            listener_port_be: listener.port_be,
            padding: [0; 4],
        }
    }

    /// The key as it lies in memory, in machine words.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 6] {
        let ([client, client_rest], [listener, listener_rest]) = (self.client.words(), self.listener.words());
        let ports = word(half_word(self.client_port_be, self.listener_port_be), 0);
        [self.netns_cookie, client, client_rest, listener, listener_rest, ports]
    }
}
