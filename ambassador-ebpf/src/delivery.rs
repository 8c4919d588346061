// SPDX-License-Identifier: Apache-2.0
//! `so_main` and `so_passive`: the way of an origin from the client socket to the accepted socket.
//!
//! `so_main` enters the connection when the source port is chosen and before the SYN is sent, so the listener's filter
//! and `so_passive` find it however fast the handshake is. It stays until the client socket closes, because
//! getpeername of an MPTCP socket needs it. `sock_ops` programs run about ten times in the life of every connection:
//! the event is tested first.

use ambassador_ebpf::{admission::Admission, counter::Counter, flow::Flow, tuple::Tuple};
use aya_ebpf::{bindings::BPF_SOCK_OPS_STATE_CB_FLAG, macros::sock_ops, programs::SockOpsContext};
use aya_log_ebpf::debug;

use crate::{
    counters::count,
    events, flows,
    maps::{ACC_SK, NS, ORIG_SK},
    socket::SocketEvent,
    storage,
    variant::{LINES, SILENT},
    verdicts,
};

/// On the intercepted cgroup: announces a redirected connection, and takes the announcement back when it closes.
#[sock_ops]
fn so_main(ctx: SockOpsContext) -> u32 {
    on_client_event::<SILENT>(&ctx)
}

/// The same, with debug lines.
#[sock_ops]
fn so_main_debug(ctx: SockOpsContext) -> u32 {
    on_client_event::<LINES>(&ctx)
}

/// On the proxy's cgroup: gives an accepted socket its origin.
#[sock_ops]
fn so_passive(ctx: SockOpsContext) -> u32 {
    on_accepted_event::<SILENT>(&ctx)
}

/// The same, with debug lines.
#[sock_ops]
fn so_passive_debug(ctx: SockOpsContext) -> u32 {
    on_accepted_event::<LINES>(&ctx)
}

#[inline(always)]
fn on_client_event<const HAS_LINES: bool>(ctx: &SockOpsContext) -> u32 {
    match ctx.op() {
        TCP_CONNECT_CB => announce::<HAS_LINES>(ctx),
        TIMEOUT_INIT => note_isn(ctx),
        STATE_CB => withdraw(ctx),
        _ => {}
    }
    CONTINUE
}

#[inline(always)]
fn on_accepted_event<const HAS_LINES: bool>(ctx: &SockOpsContext) -> u32 {
    if ctx.op() == PASSIVE_ESTABLISHED_CB {
        deliver::<HAS_LINES>(ctx);
    }
    CONTINUE
}

#[inline(always)]
fn announce<const HAS_LINES: bool>(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    let Some(flow) = kept(&event) else { return };
    let key = tuple(&event, flow);
    if !flows::enter(&key, flow) {
        count(Counter::TupleFailed);
        if HAS_LINES {
            let socket_cookie = flow.origin.socket_cookie;
            debug!(ctx, "the flow table is full: connection {} cannot be announced", socket_cookie);
        }
    }
    // Other programs may have asked for callbacks of their own. Failure leaves an entry that the next connection of
    // the same tuple replaces.
    let _ = ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG).cast_signed());
}

/// The kernel asks for the SYN's timer when it has chosen the initial sequence number and before the SYN is sent, and
/// again whenever the timer fires; what it is told stays its own default.
#[inline(always)]
fn note_isn(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    let Some(kept) = kept(&event) else { return };
    if kept.admission == UNFILTERED || kept.has_isn != 0 {
        return;
    }
    let Some(flow) = flows::find_own(&tuple(&event, kept), kept.origin.socket_cookie) else { return };
    kept.isn = event.next_sequence();
    kept.has_isn = 1;
    flow.isn = kept.isn;
    flow.has_isn = 1;
}

/// The entry goes first and the verdict after it. User space writes a verdict first, and then looks for the entry or is
/// told here that it is gone: so one of the two sees the other, and no verdict outlives its connection.
#[inline(always)]
fn withdraw(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    if event.second_argument() != TCP_CLOSE {
        return;
    }
    let Some(kept) = kept(&event) else { return };
    let key = tuple(&event, kept);
    let Some(flow) = flows::find_own(&key, kept.origin.socket_cookie) else {
        flows::forget_lost(&key);
        was_admitted(kept);
        return;
    };
    flows::remove(&key);
    let admitted = was_admitted(kept);
    // A client that resets at once may be gone before its handshake's last segment is at the listener.
    let is_undelivered = event.first_argument() == TCP_SYN_SENT || flow.delivered == 0;
    // Of the entry no more than these two: its memory may be another connection's by now, but a lost word of an end is
    // made up for by user space, and one of another's end is not.
    if is_undelivered && flow.told != 0 {
        events::closed(flow.told, &key, kept, u32::from(admitted));
    }
}

/// Takes back the verdict on a connection; whether it was let in. Says no of one that was held and then accepted, whose
/// verdict the proxy has taken back: of its end nobody is told.
#[inline(always)]
fn was_admitted(kept: &Flow) -> bool {
    let ticket = kept.ticket();
    kept.admission != HELD || verdicts::take(ticket) || verdicts::forget(ticket)
}

#[inline(always)]
fn deliver<const HAS_LINES: bool>(ctx: &SockOpsContext) {
    let Some(event) = SocketEvent::new(ctx) else { return };
    let netns_cookie = event.netns_cookie();
    let local = event.local();
    // SAFETY: an entry is replaced whole by user space, and only compared with here.
    let landing = unsafe { NS.get(netns_cookie) };
    if !landing.is_some_and(|landing| landing.is_listener(&local)) {
        return;
    }
    let key = Tuple::new(netns_cookie, &event.remote(), &local);
    let Some(flow) = flows::find(&key) else {
        count(Counter::DeliveryMissing);
        if HAS_LINES {
            debug!(ctx, "a connection to a listener has no origin");
        }
        return;
    };
    // The peer's SYN has one number, and nothing came after it yet.
    if !flow.is_of(event.next_expected().wrapping_sub(1)) {
        count(Counter::DeliveryMissing);
        return;
    }
    flow.delivered = 1;
    let mut flow = *flow;
    let slot = storage::get_or_insert(&ACC_SK, event.socket(), Some(&mut flow));
    count(if slot.is_null() { Counter::DeliveryFailed } else { Counter::Delivered });
}

/// What `connect()` has left with a redirected client socket.
#[inline(always)]
fn kept<'a>(event: &SocketEvent) -> Option<&'a mut Flow> {
    let slot = storage::get(&ORIG_SK, event.socket());
    // SAFETY: a non-null result points to a value of the map's type, alive as long as the socket, whose lock is held.
    unsafe { slot.as_mut() }
}

/// The name of a redirected connection, on the client's side.
#[inline(always)]
fn tuple(event: &SocketEvent, flow: &Flow) -> Tuple {
    Tuple::new(flow.origin.netns_cookie, &event.local(), &event.remote())
}

const HELD: u8 = Admission::Held as u8;
const UNFILTERED: u8 = Admission::Unfiltered as u8;
/// `BPF_SOCK_OPS_TIMEOUT_INIT`: the timer of the SYN is set.
const TIMEOUT_INIT: u32 = 1;
/// `BPF_SOCK_OPS_TCP_CONNECT_CB`: the source port is chosen, the SYN not yet sent.
const TCP_CONNECT_CB: u32 = 3;
/// `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`: the accepted side of a handshake is complete.
const PASSIVE_ESTABLISHED_CB: u32 = 5;
/// `BPF_SOCK_OPS_STATE_CB`: the TCP state changes.
const STATE_CB: u32 = 10;
/// `BPF_TCP_SYN_SENT`.
const TCP_SYN_SENT: u32 = 2;
/// `BPF_TCP_CLOSE`.
const TCP_CLOSE: u32 = 7;
/// What a `sock_ops` program returns.
const CONTINUE: u32 = 1;
