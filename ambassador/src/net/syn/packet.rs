// SPDX-License-Identifier: Apache-2.0
//! [`Packet`]: an IP packet that is ready to be sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{captured::Syn, checksum::Checksum};

/// A complete IPv4 or IPv6 packet with valid checksums, held inline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    bytes: [u8; Self::CAPACITY],
    length: u16,
    way: Way,
}

impl Packet {
    /// The longest packet that is ever built: an `ICMPv6` error that quotes the longest SYN.
    pub const CAPACITY: usize = 40 + 8 + Syn::MAX_LENGTH;

    /// The packet from its first header on.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Where it goes.
    pub fn destination(&self) -> IpAddr {
        self.way.to()
    }

    /// Its two ends.
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// A packet that is complete already.
    pub(super) fn complete(way: Way, bytes: &[u8]) -> Self {
        let mut this = Self::empty(way);
        this.push(bytes);
        this
    }

    /// A TCP segment without options or data (RFC 9293 §3.1).
    pub(super) fn tcp(way: Way, header: &[u8; 20]) -> Self {
        let mut this = Self::headed(way, PROTOCOL_TCP, 20);
        this.push(header);
        this.seal(way.pseudo_header(PROTOCOL_TCP, 20), 16);
        this
    }

    /// An ICMP or `ICMPv6` error that quotes `quoted` (RFC 792, RFC 4443 §3.1).
    pub(super) fn icmp_error(way: Way, kind: u8, code: u8, quoted: &[u8]) -> Self {
        let length = u16::try_from(8 + quoted.len()).unwrap_or(u16::MAX);
        let (protocol, sum) = match way {
            Way::V4 { .. } => (PROTOCOL_ICMP, Checksum::default()),
            Way::V6 { .. } => (PROTOCOL_ICMPV6, way.pseudo_header(PROTOCOL_ICMPV6, length)),
        };
        let mut this = Self::headed(way, protocol, length);
        this.push(&[kind, code, 0, 0, 0, 0, 0, 0]);
        this.push(quoted);
        this.seal(sum, 2);
        this
    }

    fn empty(way: Way) -> Self {
        Self { bytes: [0; Self::CAPACITY], length: 0, way }
    }

    /// An IP header for a payload of so many bytes.
    fn headed(way: Way, protocol: u8, payload: u16) -> Self {
        let mut this = Self::empty(way);
        match way {
            Way::V4 { from, to } => {
                let mut header = [0; 20];
                header[0] = 0x45;
                header[2..4].copy_from_slice(&payload.saturating_add(20).to_be_bytes());
                header[6] = DONT_FRAGMENT;
                header[8] = HOP_LIMIT;
                header[9] = protocol;
                header[12..16].copy_from_slice(&from.octets());
                header[16..20].copy_from_slice(&to.octets());
                let sum = Checksum::default().add(&header).finish();
                header[10..12].copy_from_slice(&sum);
                this.push(&header);
            }
            Way::V6 { from, to } => {
                let [high, low] = payload.to_be_bytes();
                this.push(&[0x60, 0, 0, 0, high, low, protocol, HOP_LIMIT]);
                this.push(&from.octets());
                this.push(&to.octets());
            }
        }
        this
    }

    /// Appends; what does not fit is left out, and nothing that is built here does not fit.
    fn push(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.bytes[usize::from(self.length)..].iter_mut().zip(bytes) {
            *slot = *byte;
            self.length += 1;
        }
    }

    /// Writes the checksum of the payload, begun with `sum`, at the offset `at` of the payload, which holds zero.
    fn seal(&mut self, sum: Checksum, at: usize) {
        let start = self.way.header_length();
        let sum = sum.add(&self.as_bytes()[start..]).finish();
        self.bytes[start + at..start + at + 2].copy_from_slice(&sum);
    }
}

/// The two ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    V4 { from: Ipv4Addr, to: Ipv4Addr },
    V6 { from: Ipv6Addr, to: Ipv6Addr },
}

impl Way {
    /// Where it ends.
    pub(super) fn to(self) -> IpAddr {
        match self {
            Self::V4 { to, .. } => to.into(),
            Self::V6 { to, .. } => to.into(),
        }
    }

    /// The way of an answer.
    pub(super) fn back(self) -> Self {
        match self {
            Self::V4 { from, to } => Self::V4 { from: to, to: from },
            Self::V6 { from, to } => Self::V6 { from: to, to: from },
        }
    }

    /// The sum of the pseudo-header of a payload of so many bytes (RFC 9293 §3.1, RFC 8200 §8.1).
    pub(super) fn pseudo_header(self, protocol: u8, payload: u16) -> Checksum {
        let sum = Checksum::default().add(&[0, protocol]).add(&payload.to_be_bytes());
        match self {
            Self::V4 { from, to } => sum.add(&from.octets()).add(&to.octets()),
            Self::V6 { from, to } => sum.add(&from.octets()).add(&to.octets()),
        }
    }

    /// The length of an IP header without options.
    fn header_length(self) -> usize {
        match self {
            Self::V4 { .. } => 20,
            Self::V6 { .. } => 40,
        }
    }
}

/// The protocol number of TCP.
pub(super) const PROTOCOL_TCP: u8 = 6;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;

/// The flag of the IPv4 header, in the first byte of its field.
const DONT_FRAGMENT: u8 = 0x40;

/// The kernel's own default.
const HOP_LIMIT: u8 = 64;
