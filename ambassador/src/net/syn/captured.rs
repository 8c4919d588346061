// SPDX-License-Identifier: Apache-2.0
//! [`Syn`]: a program's SYN as the kernel side captured it, and the packets that answer it.
//!
//! Pure and total: any bytes may come in, only a SYN with whole headers is accepted. Nothing here decides which answer
//! is due.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::{
    checksum::Checksum,
    packet::{PROTOCOL_TCP, Packet, Way},
};

/// A TCP SYN with its IP header and without data. Its checksums are valid, whatever they were when it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syn {
    packet: Packet,
    ports: Ports,
    isn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports {
    from: u16,
    to: u16,
}

/// Why a destination cannot be reached, as ICMP tells it; each with the errno that Linux makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// `ENETUNREACH`: ICMP 3/0, `ICMPv6` 1/0.
    Network,
    /// `EHOSTUNREACH`: ICMP 3/1, `ICMPv6` 1/3.
    Host,
    /// `ECONNREFUSED`: ICMP 3/3, `ICMPv6` 1/4.
    Port,
    /// ICMP 3/13, of which Linux makes `EHOSTUNREACH`; `ICMPv6` 1/1, of which it makes `EACCES`.
    AdminProhibited,
}

/// Why bytes are not a SYN that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    /// It is longer than any SYN.
    #[error("a packet of {length} bytes is longer than {} bytes", Syn::MAX_LENGTH)]
    TooLong {
        /// In bytes.
        length: usize,
    },
    /// A header is not whole.
    #[error("a packet of {length} bytes ends inside its headers")]
    Truncated {
        /// In bytes.
        length: usize,
    },
    /// The IP header says a length that has no room for its headers.
    #[error("a packet with headers of {headers} bytes says that it has {declared}")]
    Length {
        /// What the IP header says.
        declared: usize,
        /// What its headers come to.
        headers: usize,
    },
    /// It is neither IPv4 nor IPv6.
    #[error("IP version {0} is unknown")]
    Version(u8),
    /// The IPv4 or TCP header says that it is shorter than its fixed part.
    #[error("a header of {0} bytes is shorter than the protocol's shortest")]
    HeaderLength(usize),
    /// It is a fragment.
    #[error("the packet is a fragment")]
    Fragment,
    /// TCP does not follow the IP header at once: another protocol, or an IPv6 extension header.
    #[error("protocol {0} follows the IP header instead of TCP")]
    Protocol(u8),
    /// Its flags are not those of a connection's first segment.
    #[error("the segment is no pure SYN: its flags are {0:#04x}")]
    Flags(u8),
}

impl Syn {
    /// The longest SYN: headers without IP options come to 80 (IPv4) or 100 bytes (IPv6) with all TCP options.
    pub const MAX_LENGTH: usize = 128;

    /// Reads an IPv4 or IPv6 packet that holds a SYN, with any TCP options.
    ///
    /// Its checksums are not looked at: a SYN that never left the machine carries the sum of its pseudo-header only
    /// (`CHECKSUM_PARTIAL`). Data (TCP Fast Open, RFC 7413) may follow, or be said to, and is left out: the program
    /// sends it again when it is not acknowledged.
    pub fn parse(packet: &[u8]) -> Result<Self, PacketError> {
        let length = packet.len();
        if length > Self::MAX_LENGTH {
            return Err(PacketError::TooLong { length });
        }
        let Network { way, start, declared } = match packet.first().map(|first| first >> 4) {
            Some(4) => parse_v4(packet)?,
            Some(6) => parse_v6(packet)?,
            Some(version) => return Err(PacketError::Version(version)),
            None => return Err(PacketError::Truncated { length }),
        };
        let segment = packet.get(start..).unwrap_or_default();
        let header = segment.first_chunk::<20>().ok_or(PacketError::Truncated { length })?;
        let header_length = usize::from(header[12] >> 4) * 4;
        if header_length < header.len() {
            return Err(PacketError::HeaderLength(header_length));
        }
        let headers = start + header_length;
        let packet = packet.get(..headers).ok_or(PacketError::Truncated { length })?;
        if declared < headers {
            return Err(PacketError::Length { declared, headers });
        }
        if header[13] & (FIN | SYN | RST | ACK) != SYN {
            return Err(PacketError::Flags(header[13]));
        }
        let from = u16::from_be_bytes([header[0], header[1]]);
        let to = u16::from_be_bytes([header[2], header[3]]);
        let isn = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        Ok(Self { packet: sealed(way, packet, start), ports: Ports { from, to }, isn })
    }

    /// Where the program is: its own address and port.
    pub fn src(&self) -> SocketAddr {
        SocketAddr::new(self.packet.way().back().to(), self.ports.from)
    }

    /// Where the SYN was going: the listener.
    pub fn dst(&self) -> SocketAddr {
        SocketAddr::new(self.packet.way().to(), self.ports.to)
    }

    /// The initial sequence number.
    pub fn isn(&self) -> u32 {
        self.isn
    }

    /// The very SYN once more, with valid checksums.
    pub fn replay(&self) -> Packet {
        self.packet.clone()
    }

    /// The listener's side refusing: a reset as RFC 9293 §3.5.2 (group 1) makes it, acceptable in SYN-SENT because
    /// it acknowledges the SYN (§3.10.7.3).
    pub fn refuse(&self) -> Packet {
        let ports = Ports { from: self.ports.to, to: self.ports.from };
        let way = self.packet.way().back();
        Packet::tcp(way, &header(ports, Numbers { sequence: 0, acknowledged: self.after() }, RST | ACK))
    }

    /// A router's answer that quotes the SYN. It comes from the listener's address, as the kernel accepts any.
    pub fn unreachable(&self, why: Unreachable) -> Packet {
        let way = self.packet.way().back();
        let (kind, code) = match (way, why) {
            (Way::V4 { .. }, Unreachable::Network) => (3, 0),
            (Way::V4 { .. }, Unreachable::Host) => (3, 1),
            (Way::V4 { .. }, Unreachable::Port) => (3, 3),
            (Way::V4 { .. }, Unreachable::AdminProhibited) => (3, 13),
            (Way::V6 { .. }, Unreachable::Network) => (1, 0),
            (Way::V6 { .. }, Unreachable::Host) => (1, 3),
            (Way::V6 { .. }, Unreachable::Port) => (1, 4),
            (Way::V6 { .. }, Unreachable::AdminProhibited) => (1, 1),
        };
        Packet::icmp_error(way, kind, code, self.packet.as_bytes())
    }

    /// See [`reset_after_allow`].
    pub fn reset_after_allow(&self) -> Packet {
        reset_of(self.packet.way(), self.ports, self.isn)
    }

    /// The sequence number that follows the SYN's own. Data that it carried is not counted: it need not be
    /// acknowledged (RFC 7413 §4.2.2).
    fn after(&self) -> u32 {
        self.isn.wrapping_add(1)
    }
}

/// The program's side of a connection giving up: a reset to the listener that removes what a SYN left there that was
/// let through, if its handshake did not end (RFC 9293 §3.10.7.4, SYN-RECEIVED). Any other connection of the same port
/// ignores it, because its sequence numbers are elsewhere. `None` if the addresses are not of one family.
pub fn reset_after_allow(client: SocketAddr, listener: SocketAddr, isn: u32) -> Option<Packet> {
    let way = match (client.ip(), listener.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Way::V4 { from, to },
        (IpAddr::V6(from), IpAddr::V6(to)) => Way::V6 { from, to },
        _ => return None,
    };
    Some(reset_of(way, Ports { from: client.port(), to: listener.port() }, isn))
}

fn reset_of(way: Way, ports: Ports, isn: u32) -> Packet {
    let numbers = Numbers { sequence: isn.wrapping_add(1), acknowledged: 0 };
    Packet::tcp(way, &header(ports, numbers, RST))
}

/// The sequence numbers of a segment.
#[derive(Clone, Copy)]
struct Numbers {
    sequence: u32,
    acknowledged: u32,
}

/// A TCP header without options; its checksum is zero.
fn header(ports: Ports, numbers: Numbers, flags: u8) -> [u8; 20] {
    let mut header = [0; 20];
    header[0..2].copy_from_slice(&ports.from.to_be_bytes());
    header[2..4].copy_from_slice(&ports.to.to_be_bytes());
    header[4..8].copy_from_slice(&numbers.sequence.to_be_bytes());
    header[8..12].copy_from_slice(&numbers.acknowledged.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header
}

/// What an IP header says.
struct Network {
    way: Way,
    /// Where its payload starts.
    start: usize,
    /// The length of the packet.
    declared: usize,
}

/// RFC 791 §3.1.
fn parse_v4(packet: &[u8]) -> Result<Network, PacketError> {
    let header = packet.first_chunk::<20>().ok_or(PacketError::Truncated { length: packet.len() })?;
    let start = usize::from(header[0] & 0xf) * 4;
    if start < header.len() {
        return Err(PacketError::HeaderLength(start));
    }
    if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0 {
        return Err(PacketError::Fragment);
    }
    check_protocol(header[9])?;
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let declared = usize::from(u16::from_be_bytes([header[2], header[3]]));
    Ok(Network { way: Way::V4 { from: address(12), to: address(16) }, start, declared })
}

/// RFC 8200 §3.
fn parse_v6(packet: &[u8]) -> Result<Network, PacketError> {
    let truncated = PacketError::Truncated { length: packet.len() };
    let (fixed, rest) = packet.split_first_chunk::<8>().ok_or(truncated)?;
    let (from, rest) = rest.split_first_chunk::<16>().ok_or(truncated)?;
    let (to, _) = rest.split_first_chunk::<16>().ok_or(truncated)?;
    check_protocol(fixed[6])?;
    let way = Way::V6 { from: Ipv6Addr::from(*from), to: Ipv6Addr::from(*to) };
    let declared = V6_HEADER + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    Ok(Network { way, start: V6_HEADER, declared })
}

fn check_protocol(protocol: u8) -> Result<(), PacketError> {
    if protocol == PROTOCOL_TCP { Ok(()) } else { Err(PacketError::Protocol(protocol)) }
}

/// Headers of a whole packet, of which TCP's starts at `start`, with their own length and checksums.
fn sealed(way: Way, headers: &[u8], start: usize) -> Packet {
    let mut bytes = [0; Syn::MAX_LENGTH];
    let bytes = &mut bytes[..headers.len()];
    bytes.copy_from_slice(headers);
    let length = |of: usize| u16::try_from(of).unwrap_or(u16::MAX);
    let segment_length = length(headers.len() - start);
    if let Way::V4 { .. } = way {
        bytes[2..4].copy_from_slice(&length(headers.len()).to_be_bytes());
        bytes[10..12].fill(0);
        let sum = Checksum::default().add(&bytes[..start]).finish();
        bytes[10..12].copy_from_slice(&sum);
    } else {
        bytes[4..6].copy_from_slice(&segment_length.to_be_bytes());
    }
    let (_, segment) = bytes.split_at_mut(start);
    segment[16..18].fill(0);
    let sum = way.pseudo_header(PROTOCOL_TCP, segment_length).add(segment).finish();
    segment[16..18].copy_from_slice(&sum);
    Packet::complete(way, bytes)
}

/// In bytes; IPv6 knows no other.
const V6_HEADER: usize = 40;

/// More fragments, or an offset (RFC 791 §3.1).
const FRAGMENT: u16 = 0x3fff;

// The control bits of RFC 9293 §3.1. Those of ECN may accompany any SYN.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[cfg(test)]
mod tests;
