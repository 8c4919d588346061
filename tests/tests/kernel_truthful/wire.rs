// SPDX-License-Identifier: Apache-2.0
//! A held SYN as the proxy answers it: parsed, sent again, or refused.

use std::net::{IpAddr, SocketAddr};

use ambassador::netns::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

/// The headers of a SYN.
#[derive(Clone, Debug)]
pub(crate) struct Syn {
    bytes: Vec<u8>,
    ip_len: usize,
}

impl Syn {
    /// Checks what every SYN has to be.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let ip_len = if bytes[0] >> 4 == 4 { usize::from(bytes[0] & 15) * 4 } else { 40 };
        let syn = Self { bytes: bytes.to_vec(), ip_len };
        assert_eq!(syn.tcp()[13] & 0x3f, 0x02, "SYN and nothing else");
        assert_eq!(syn.tcp().len(), usize::from(syn.tcp()[12] >> 4) * 4, "all options and no payload");
        syn
    }

    pub(crate) fn source(&self) -> SocketAddr {
        self.endpoint(0)
    }

    pub(crate) fn destination(&self) -> SocketAddr {
        self.endpoint(1)
    }

    pub(crate) fn isn(&self) -> u32 {
        u32::from_be_bytes(self.tcp()[4..8].try_into().unwrap())
    }

    pub(crate) fn with_isn(&self, isn: u32) -> Self {
        self.with(4, &isn.to_be_bytes())
    }

    pub(crate) fn with_source_port(&self, port: u16) -> Self {
        self.with(0, &port.to_be_bytes())
    }

    /// Sends it again, with its checksum made whole.
    pub(crate) fn replay(&self, namespace: &Namespace) {
        let mut tcp = self.tcp().to_vec();
        finish(&mut tcp, self.source().ip(), self.destination().ip());
        send(namespace, packet(self.source().ip(), self.destination().ip(), &tcp));
    }

    /// Answers as a closed port does.
    pub(crate) fn refuse(&self, namespace: &Namespace) {
        let mut tcp = vec![0; 20];
        tcp[0..2].copy_from_slice(&self.tcp()[2..4]);
        tcp[2..4].copy_from_slice(&self.tcp()[0..2]);
        tcp[8..12].copy_from_slice(&self.isn().wrapping_add(1).to_be_bytes());
        (tcp[12], tcp[13]) = (5 << 4, 0x14);
        finish(&mut tcp, self.destination().ip(), self.source().ip());
        send(namespace, packet(self.destination().ip(), self.source().ip(), &tcp));
    }

    fn tcp(&self) -> &[u8] {
        &self.bytes[self.ip_len..]
    }

    fn with(&self, offset: usize, field: &[u8]) -> Self {
        let mut other = self.clone();
        other.bytes[self.ip_len + offset..][..field.len()].copy_from_slice(field);
        other
    }

    /// The first or second address and port.
    fn endpoint(&self, which: usize) -> SocketAddr {
        let ip = if self.bytes[0] >> 4 == 4 {
            IpAddr::from(<[u8; 4]>::try_from(&self.bytes[12 + 4 * which..][..4]).unwrap())
        } else {
            IpAddr::from(<[u8; 16]>::try_from(&self.bytes[8 + 16 * which..][..16]).unwrap())
        };
        let port = u16::from_be_bytes(self.tcp()[2 * which..][..2].try_into().unwrap());
        SocketAddr::new(ip, port)
    }
}

/// A whole IP packet around a TCP header.
fn packet(source: IpAddr, destination: IpAddr, tcp: &[u8]) -> (IpAddr, Vec<u8>) {
    let len = u16::try_from(tcp.len()).unwrap();
    let mut packet = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, 0]);
            packet.extend((len + 20).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(len.to_be_bytes());
            packet.extend([6, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        other => panic!("two families: {other:?}"),
    }
    packet.extend(tcp);
    (destination, packet)
}

/// Writes the checksum over the pseudo header and the TCP header.
fn finish(tcp: &mut [u8], source: IpAddr, destination: IpAddr) {
    tcp[16..18].fill(0);
    let mut covered = octets(source);
    covered.extend(octets(destination));
    covered.extend([0, 6]);
    covered.extend(u16::try_from(tcp.len()).unwrap().to_be_bytes());
    covered.extend(&*tcp);
    let mut sum: u32 =
        covered.as_chunks::<2>().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap();
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

fn send(namespace: &Namespace, (destination, packet): (IpAddr, Vec<u8>)) {
    let send = move || {
        let address = SocketAddr::new(destination, 0);
        let raw = Protocol::from(libc::IPPROTO_RAW);
        let socket = Socket::new(Domain::for_address(address), Type::RAW, Some(raw)).unwrap();
        socket.send_to(&packet, &address.into()).unwrap();
    };
    namespace.run(send).unwrap();
}
