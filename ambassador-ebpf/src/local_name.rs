// SPDX-License-Identifier: Apache-2.0
//! `getsockname4` and `getsockname6`: the program sees the address of its own that its destination would have seen.
//!
//! The connection to a listener leaves from loopback, whose address is of no use to anybody else: a program that tells
//! its peer where to call back (FTP's `PORT`, SIP) says what it reads here. Only the address changes, never the port.

use ambassador_ebpf::{
    address::{Address, Family},
    landing::Endpoint,
    tuple::Tuple,
};
use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use crate::{
    flows,
    maps::{ORIG_SK, source_of},
    socket::SocketAddress,
    storage,
};

/// Of IPv4 sockets.
#[cgroup_sock_addr(getsockname4)]
fn getsockname4(ctx: SockAddrContext) -> i32 {
    let address = SocketAddress::new(&ctx);
    let local = address.read_v4();
    let peer = address.remote_v4();
    if local.address == Address::LOCALHOST_V4
        && peer.port_be != 0
        && peer.address.is_listener()
        && let Some(source) = kept(&address).or_else(|| announced(&address, &local, &peer))
    {
        address.write_v4(&Endpoint { address: source, ..local });
    }
    PROCEED
}

/// Of IPv6 sockets, those of v4-mapped connections included.
#[cgroup_sock_addr(getsockname6)]
fn getsockname6(ctx: SockAddrContext) -> i32 {
    let address = SocketAddress::new(&ctx);
    let local = address.read_v6();
    let unbound = match local.address.family() {
        Family::V4 => local.address == Address::LOCALHOST_V4,
        Family::V6 => local.address == Address::LOCALHOST_V6,
    };
    let peer = address.remote_v6();
    if unbound
        && peer.port_be != 0
        && (peer.address.is_listener() || peer.address == Address::LOCALHOST_V6)
        && let Some(source) = kept(&address).or_else(|| announced(&address, &local, &peer))
    {
        address.write_v6(&Endpoint { address: source, ..local });
    }
    PROCEED
}

/// From where the destination is reached that the socket itself dialled. Only of one that is connected to a listener: a
/// connect that failed leaves its destination behind, and the program may bind the socket then, and listen. What is left of
/// the peer's address has no port then.
#[inline(always)]
fn kept(address: &SocketAddress) -> Option<Address> {
    let slot = storage::get(&ORIG_SK, address.socket());
    // SAFETY: a non-null result points to a value of the map's type, alive as long as the socket.
    let flow = unsafe { slot.as_ref() }?;
    source_of(address.netns_cookie(), flow.origin.address)
}

/// The same of an MPTCP socket, whose subflow was redirected; see `peer_name`.
#[inline(always)]
fn announced(address: &SocketAddress, local: &Endpoint, peer: &Endpoint) -> Option<Address> {
    let flow = flows::find(&Tuple::new(address.netns_cookie(), local, peer))?;
    source_of(address.netns_cookie(), flow.origin.address)
}

/// What these hooks return.
const PROCEED: i32 = 1;
