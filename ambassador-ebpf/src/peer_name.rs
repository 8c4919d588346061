// SPDX-License-Identifier: Apache-2.0
//! `getpeername4` and `getpeername6`: the program sees the address that it dialled.
//!
//! `accept()` inside the intercepted cgroup runs them too, so what is not a redirected client leaves early.

use ambassador_ebpf::{
    address::{Address, Family},
    flow::Flow,
    landing::Endpoint,
    tuple::Tuple,
};
use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use crate::{
    flows,
    maps::{NS, ORIG_SK},
    socket::SocketAddress,
    storage,
};

/// Of IPv4 sockets.
#[cgroup_sock_addr(getpeername4)]
fn getpeername4(ctx: SockAddrContext) -> i32 {
    let address = SocketAddress::new(&ctx);
    if let Some(dialled) = kept(&address) {
        address.write_v4(&dialled);
        return PROCEED;
    }
    let peer = address.read_v4();
    if peer.address.is_listener()
        && let Some(dialled) = announced(&address, &address.local_v4(), &peer)
    {
        address.write_v4(&dialled);
    }
    PROCEED
}

/// Of IPv6 sockets, v4-mapped peers included.
#[cgroup_sock_addr(getpeername6)]
fn getpeername6(ctx: SockAddrContext) -> i32 {
    let address = SocketAddress::new(&ctx);
    if let Some(dialled) = kept(&address) {
        address.write_v6(&dialled);
        return PROCEED;
    }
    let peer = address.read_v6();
    let may_be_listener = match peer.address.family() {
        Family::V4 => peer.address.is_listener(),
        Family::V6 => peer.address == Address::LOCALHOST_V6 && is_own_listener(&address, &peer),
    };
    if may_be_listener && let Some(dialled) = announced(&address, &address.local_v6(), &peer) {
        address.write_v6(&dialled);
    }
    PROCEED
}

/// What the socket itself dialled.
#[inline(always)]
fn kept(address: &SocketAddress) -> Option<Endpoint> {
    let slot = storage::get(&ORIG_SK, address.socket());
    // SAFETY: a non-null result points to a value of the map's type, alive as long as the socket.
    unsafe { slot.as_ref() }.map(dialled)
}

/// What the connection was announced as. An MPTCP socket needs it: the connect hooks saw its subflow, these hooks
/// see the socket above it, and both have the same addresses.
#[inline(always)]
fn announced(address: &SocketAddress, local: &Endpoint, peer: &Endpoint) -> Option<Endpoint> {
    let key = Tuple::new(address.netns_cookie(), local, peer);
    flows::find(&key).map(|flow| dialled(flow))
}

#[inline(always)]
fn is_own_listener(address: &SocketAddress, peer: &Endpoint) -> bool {
    // SAFETY: an entry is replaced whole by user space, and only compared with here.
    let landing = unsafe { NS.get(address.netns_cookie()) };
    landing.is_some_and(|landing| landing.is_listener(peer))
}

#[inline(always)]
fn dialled(flow: &Flow) -> Endpoint {
    Endpoint { address: flow.origin.address, port_be: flow.origin.port_be }
}

/// What these hooks return.
const PROCEED: i32 = 1;
