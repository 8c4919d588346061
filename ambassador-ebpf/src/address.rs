// SPDX-License-Identifier: Apache-2.0
//! An IP address as the maps hold it: always 16 bytes, IPv4 as `::ffff:a.b.c.d`.
//!
//! One shape for both families lets a program that dials `::ffff:10.0.0.1` meet the same rules as one that dials
//! `10.0.0.1`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::plain::{Plain, word};

/// An IPv6 or v4-mapped address, four words in network byte order (as the kernel's contexts show them).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// The 16 bytes of the address, each word in network byte order.
    pub words_be: [u32; 4],
}

// SAFETY: repr(C), one array of integers.
unsafe impl Plain for Address {}

const _: () = assert!(size_of::<Address>() == 16);

/// The address family of a connection, decided by the address and not by the socket: `::ffff:a.b.c.d` is `V4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, also through an IPv6 socket.
    V4,
    /// IPv6.
    V6,
}

impl Address {
    /// 127.0.0.1.
    pub const LOCALHOST_V4: Self = Self::from_v4([127, 0, 0, 1]);

    /// `::1`.
    pub const LOCALHOST_V6: Self = Self { words_be: [0, 0, 0, 1_u32.to_be()] };

    /// An IPv4 address from its word in network byte order.
    #[inline(always)]
    pub const fn from_v4_be(word_be: u32) -> Self {
        Self { words_be: [0, 0, V4_MAPPED_BE, word_be] }
    }

    /// An IPv4 address from its bytes.
    #[inline(always)]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self::from_v4_be(u32::from_ne_bytes(octets))
    }

    /// The address as it lies in memory, in machine words.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        let [first, second, third, fourth] = self.words_be;
        [word(first, second), word(third, fourth)]
    }

    /// Whether the address is IPv4, v4-mapped included.
    #[inline(always)]
    pub const fn family(&self) -> Family {
        if self.words_be[0] == 0 && self.words_be[1] == 0 && self.words_be[2] == V4_MAPPED_BE {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// Whether a connection to the address stays on this host by definition: 127/8, `::1`, and the unspecified
    /// addresses, which the kernel takes as loopback.
    #[inline(always)]
    pub const fn is_loopback(&self) -> bool {
        match self.family() {
            Family::V4 => {
                let octets = self.words_be[3].to_ne_bytes();
                octets[0] == 127 || self.words_be[3] == 0
            }
            Family::V6 => {
                self.words_be[0] == 0
                    && self.words_be[1] == 0
                    && self.words_be[2] == 0
                    && (self.words_be[3] == 0 || self.words_be[3] == Self::LOCALHOST_V6.words_be[3])
            }
        }
    }

    /// Whether the address is one that loopback has, 127/8 or `::1`: who is bound to it is heard on this host only.
    #[inline(always)]
    pub const fn is_of_loopback(&self) -> bool {
        self.is_loopback() && !self.is_unspecified()
    }

    /// Whether the address is one of `fe80::/10`, which means something on one link only: a dial needs its scope, too.
    #[inline(always)]
    pub const fn is_link_local_v6(&self) -> bool {
        let octets = self.words_be[0].to_ne_bytes();
        octets[0] == 0xfe && octets[1] & 0xc0 == 0x80
    }

    /// Whether it is `0.0.0.0` or `::`.
    #[inline(always)]
    const fn is_unspecified(&self) -> bool {
        match self.family() {
            Family::V4 => self.words_be[3] == 0,
            Family::V6 => self.words()[0] == 0 && self.words()[1] == 0,
        }
    }

    /// The address that the kernel dials for it: the unspecified ones are those of this host.
    #[inline(always)]
    #[must_use]
    pub const fn dialled(self) -> Self {
        match self.family() {
            Family::V4 if self.is_unspecified() => Self::LOCALHOST_V4,
            Family::V6 if self.is_unspecified() => Self::LOCALHOST_V6,
            Family::V4 | Family::V6 => self,
        }
    }

    /// Whether the address lies in 127.77.0.0/24, where the listeners of every ambassador on this host live.
    #[inline(always)]
    pub const fn is_listener(&self) -> bool {
        let octets = self.words_be[3].to_ne_bytes();
        matches!(self.family(), Family::V4) && octets[0] == 127 && octets[1] == 77 && octets[2] == 0
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => {
                let bytes = v6.octets();
                let mut words_be = [0; 4];
                for (word, chunk) in words_be.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *word = u32::from_ne_bytes(*chunk);
                }
                Self { words_be }
            }
        }
    }
}

/// A v4-mapped address decodes as IPv4: that is what the program meant.
impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        if address.family() == Family::V4 {
            return Self::V4(Ipv4Addr::from(address.words_be[3].to_ne_bytes()));
        }
        let mut bytes = [0; 16];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(address.words_be) {
            *chunk = word.to_ne_bytes();
        }
        Self::V6(Ipv6Addr::from(bytes))
    }
}

/// The third word of every v4-mapped address.
const V4_MAPPED_BE: u32 = 0x0000_ffff_u32.to_be();
