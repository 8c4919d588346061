// SPDX-License-Identifier: Apache-2.0
//! `so_main` and `so_passive`: the way of an origin from the client socket to the accepted socket.
//!
//! `so_main` writes the tuple when the source port is chosen and before the SYN is sent, so `so_passive` finds it
//! however fast the handshake is. It stays until the client socket closes, because getpeername of an MPTCP socket
//! needs it. `sock_ops` programs run about ten times in the life of every connection: the event is tested first.

use ambassador_ebpf::{counter::Counter, landing::Endpoint, origin::Origin, tuple::Tuple};
use aya_ebpf::{bindings::BPF_SOCK_OPS_STATE_CB_FLAG, macros::sock_ops, programs::SockOpsContext};
use aya_log_ebpf::debug;

use crate::{
    counters::count,
    maps::{ACC_SK, NS, ORIG_SK, TUP},
    socket::SocketEvent,
    storage,
};

/// On the intercepted cgroup: announces a redirected connection, and takes the announcement back when it closes.
#[sock_ops]
fn so_main(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        TCP_CONNECT_CB => announce(&ctx),
        STATE_CB => withdraw(&ctx),
        _ => {}
    }
    CONTINUE
}

/// On the proxy's cgroup: gives an accepted socket its origin.
#[sock_ops]
fn so_passive(ctx: SockOpsContext) -> u32 {
    if ctx.op() == PASSIVE_ESTABLISHED_CB {
        deliver(&ctx);
    }
    CONTINUE
}

#[inline(always)]
fn announce(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    let Some(origin) = kept(&event) else { return };
    let key = tuple(origin.netns_cookie, &event.local(), &event.remote());
    if TUP.insert(key, origin, 0).is_err() {
        count(Counter::TupleFailed);
        debug!(ctx, "the tuple table is full: connection {} cannot be announced", origin.socket_cookie);
    }
    // Other programs may have asked for callbacks of their own. Failure leaves an entry that the next connection of
    // the same tuple replaces.
    let _ = ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG).cast_signed());
}

#[inline(always)]
fn withdraw(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    if event.second_argument() != TCP_CLOSE {
        return;
    }
    let Some(origin) = kept(&event) else { return };
    let key = tuple(origin.netns_cookie, &event.local(), &event.remote());
    // SAFETY: entries are not preallocated, so they are not reused before a grace period.
    let current = unsafe { TUP.get(key) };
    // The tuple may already belong to a newer socket.
    if current.is_some_and(|current| current.socket_cookie == origin.socket_cookie) {
        let _ = TUP.remove(key);
    }
}

#[inline(always)]
fn deliver(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    let netns_cookie = event.netns_cookie();
    let local = event.local();
    // SAFETY: an entry is replaced whole by user space, and only compared with here.
    let landing = unsafe { NS.get(netns_cookie) };
    if !landing.is_some_and(|landing| landing.is_listener(&local)) {
        return;
    }
    let key = tuple(netns_cookie, &event.remote(), &local);
    // SAFETY: entries are not preallocated, so they are not reused before a grace period.
    let Some(origin) = (unsafe { TUP.get(key) }) else {
        count(Counter::DeliveryMissing);
        debug!(ctx, "a connection to a listener has no origin");
        return;
    };
    let mut origin = *origin;
    let slot = storage::get_or_insert(&ACC_SK, event.socket(), Some(&mut origin));
    count(if slot.is_null() { Counter::DeliveryFailed } else { Counter::Delivered });
}

/// Where a redirected client socket wanted to go.
#[inline(always)]
fn kept<'a>(event: &SocketEvent) -> Option<&'a Origin> {
    let slot = storage::get(&ORIG_SK, event.socket());
    // SAFETY: a non-null result points to a value of the map's type, alive as long as the socket.
    unsafe { slot.as_ref() }
}

#[inline(always)]
fn tuple(netns_cookie: u64, client: &Endpoint, listener: &Endpoint) -> Tuple {
    Tuple {
        netns_cookie,
        client: client.address,
        listener: listener.address,
        client_port_be: client.port_be,
        listener_port_be: listener.port_be,
        padding: [0; 4],
    }
}

/// `BPF_SOCK_OPS_TCP_CONNECT_CB`: the source port is chosen, the SYN not yet sent.
const TCP_CONNECT_CB: u32 = 3;
/// `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`: the accepted side of a handshake is complete.
const PASSIVE_ESTABLISHED_CB: u32 = 5;
/// `BPF_SOCK_OPS_STATE_CB`: the TCP state changes.
const STATE_CB: u32 = 10;
/// `BPF_TCP_CLOSE`.
const TCP_CLOSE: u32 = 7;
/// What a `sock_ops` program returns.
const CONTINUE: u32 = 1;
