// SPDX-License-Identifier: Apache-2.0
//! Where redirected connections land in one network namespace, and how they are spread.
//!
//! All connections to one listener address share one space of about 28 000 source ports. So a namespace has several
//! listeners, and the destination chooses among them: connections to one destination share a port space as they
//! would without ambassador, connections to different destinations rarely do.

use core::net::Ipv4Addr;

use crate::{
    address::{Address, Family},
    plain::Plain,
};

/// How many IPv6 listeners a namespace can have.
pub const MAX_V6_LISTENERS: usize = 8;

/// The listeners of one network namespace. Value of the map `NS`, whose key is the namespace's cookie.
///
/// IPv4 listeners share a port and differ in the last byte of their address; IPv6 has only one loopback address, so
/// its listeners differ in their port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landing {
    /// The first IPv4 listener's address, in 127.77.0.0/24.
    pub v4_base: [u8; 4],
    /// The port of every IPv4 listener, in network byte order.
    pub v4_port_be: u16,
    /// How many IPv4 listeners there are, counted up from `v4_base`; 0 lets IPv4 pass.
    pub v4_count: u16,
    /// The ports of the listeners on `::1`, in network byte order.
    pub v6_port_be: [u16; MAX_V6_LISTENERS],
    /// How many of `v6_port_be` are in use, at most [`MAX_V6_LISTENERS`]; 0 lets IPv6 pass.
    pub v6_count: u16,
    /// 1 when every listener has the filter that holds SYNs, and user space answers them; else 0.
    pub truthful: u8,
    /// Always 0.
    pub padding: [u8; 5],
}

// SAFETY: repr(C), integers and arrays of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Landing {}

const _: () = assert!(size_of::<Landing>() == 4 + 2 + 2 + 2 * MAX_V6_LISTENERS + 2 + 1 + 5);

/// An address and port, the port in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The port, in network byte order.
    pub port_be: u16,
}

impl Landing {
    /// Listeners on `v4_count` addresses counted up from `v4_first`, all on `v4_port`, and on `::1` with each of
    /// `v6_ports`, of which the first [`MAX_V6_LISTENERS`] count. Ports are in host byte order.
    pub fn new(v4_first: Ipv4Addr, v4_count: u8, v4_port: u16, v6_ports: &[u16]) -> Self {
        let mut v6_port_be = [0; MAX_V6_LISTENERS];
        let mut v6_count = 0;
        for (slot, port) in v6_port_be.iter_mut().zip(v6_ports) {
            *slot = port.to_be();
            v6_count += 1;
        }
        Self {
            v4_base: v4_first.octets(),
            v4_port_be: v4_port.to_be(),
            v4_count: u16::from(v4_count),
            v6_port_be,
            v6_count,
            truthful: 0,
            padding: [0; 5],
        }
    }

    /// The same listeners, all of them with the filter that holds SYNs.
    #[must_use]
    pub const fn truthful(self) -> Self {
        Self { truthful: 1, ..self }
    }

    /// The listener that connections to `destination` are sent to; `None` when its family has no listener.
    #[inline(always)]
    pub fn listener_for(&self, destination: &Endpoint) -> Option<Endpoint> {
        match destination.address.family() {
            Family::V4 if self.v4_count != 0 => {
                let mut octets = self.v4_base;
                let step = spread(destination) % u32::from(self.v4_count);
                octets[3] = octets[3].wrapping_add(step.to_le_bytes()[0]);
                Some(Endpoint { address: Address::from_v4(octets), port_be: self.v4_port_be })
            }
            Family::V6 if self.v6_count != 0 => {
                let index = spread(destination) % u32::from(self.v6_count);
                // The mask is what the verifier sees as the bound; `v6_count` is at most 8.
                let port_be = self.v6_port_be[index as usize & (MAX_V6_LISTENERS - 1)];
                Some(Endpoint { address: Address::LOCALHOST_V6, port_be })
            }
            Family::V4 | Family::V6 => None,
        }
    }

    /// Whether `endpoint` is one of this namespace's listeners.
    #[inline(always)]
    pub fn is_listener(&self, endpoint: &Endpoint) -> bool {
        match endpoint.address.family() {
            Family::V4 => {
                let octets = endpoint.address.words_be[3].to_ne_bytes();
                endpoint.port_be == self.v4_port_be
                    && endpoint.address.is_listener()
                    && u16::from(octets[3].wrapping_sub(self.v4_base[3])) < self.v4_count
            }
            Family::V6 => endpoint.address == Address::LOCALHOST_V6 && self.has_v6_port(endpoint.port_be),
        }
    }

    #[inline(always)]
    fn has_v6_port(&self, port_be: u16) -> bool {
        // An unused slot holds 0, which is no port.
        let mut found = false;
        for candidate in self.v6_port_be {
            found |= candidate == port_be;
        }
        found && port_be != 0
    }
}

/// A hash of a destination: every bit of it takes part, equal destinations agree.
///
/// Multiplications and shifts only (murmur3's finaliser per word), so that it costs the kernel a few instructions.
#[inline(always)]
pub const fn spread(destination: &Endpoint) -> u32 {
    let words = &destination.address.words_be;
    let hash = mix(destination.port_be as u32, words[0]);
    let hash = mix(hash, words[1]);
    let hash = mix(hash, words[2]);
    mix(hash, words[3])
}

#[inline(always)]
const fn mix(hash: u32, word: u32) -> u32 {
    let mut hash = hash ^ word;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
