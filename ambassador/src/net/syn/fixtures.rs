// SPDX-License-Identifier: Apache-2.0
//! SYNs and sockets of tests.

use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use super::{FlowKey, Syn};

/// An IPv4 SYN from 127.0.0.1:35402 to 127.0.0.1:81.
pub(crate) fn syn(isn: u32) -> Syn {
    Syn::parse(&syn_bytes(isn)).expect("a SYN")
}

/// Its bytes.
pub(crate) fn syn_bytes(isn: u32) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 64, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    packet[20..24].copy_from_slice(&[0x8a, 0x4a, 0, 81]);
    packet[24..28].copy_from_slice(&isn.to_be_bytes());
    packet[32..34].copy_from_slice(&[0x50, 0x02]);
    packet
}

/// Its flow.
pub(crate) fn key() -> FlowKey {
    FlowKey::new(syn(1).src(), syn(1).dst(), NETNS)
}

/// Where the program wants to go.
pub(crate) fn dst() -> SocketAddr {
    ([192, 0, 2, 1], 443).into()
}

/// A connected socket and its peer, which is not accepted yet.
pub(crate) fn connected() -> (TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.connect(&listener.local_addr().expect("address").into()).expect("connect");
    socket.set_nonblocking(true).expect("non-blocking");
    (socket.into(), listener)
}

/// The cookie of the network namespace.
pub(crate) const NETNS: u64 = 7;
