// SPDX-License-Identifier: Apache-2.0
//! Whose an upstream connection is.
//!
//! A flow keeps the connections that it has used while it lives, as the program would without a proxy, and they end
//! with it: a server that serves one connection after the other would wait for the end of one that its client has long
//! closed. Where a `connectionPool` is configured, those that are idle and clean are shared by later flows of the same
//! network namespace and destination. The pool belongs to one worker: no lock, no hand-over; what it keeps idle it closes for
//! whoever needs the place, on any worker (`places`). A connection with unread bytes, or one that authenticated its user, must never reach another flow.

mod kept;

use std::{cell::RefCell, future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::{net::TcpStream, time::Instant};

use self::kept::{Own, Pool};
use super::{
    connection::{Connection, Key},
    http2::Multiplexed,
};
use crate::{
    http1::wire::{self, AskKernel, Idle},
    http2::link::Link,
    message::{
        ahead::Places,
        flow::{Flow, FlowId},
    },
    net::dial::DialError,
};

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::default());
}

/// A connection to a flow's original destination that is dialled in advance.
pub type Spare = BoxFuture<'static, Result<TcpStream, DialError>>;

/// What a flow has open, until the flow ends; dropping it passes the idle connections on.
pub(crate) struct FlowConnections {
    flow: FlowId,
}

impl FlowConnections {
    /// Opens the account of `flow`, with a connection that was dialled in advance if there is one.
    pub(crate) fn open(flow: &Flow, spare: Option<(SocketAddr, Spare)>) -> Self {
        let own = Own { spare, original_dst: Some(flow.original_dst), ..Own::default() };
        POOL.with_borrow_mut(|pool| {
            pool.own.insert(flow.id, own);
            if pool.verdicts.is_none() {
                pool.verdicts.clone_from(&flow.verdicts);
            }
        });
        Self { flow: flow.id }
    }
}

impl Drop for FlowConnections {
    fn drop(&mut self) {
        // The drop of what is not passed on may run foreign code: not inside the borrow.
        let own = POOL.with_borrow_mut(|pool| {
            let mut own = pool.own.remove(&self.flow)?;
            for connection in own.idle.drain(..) {
                pool.share(connection);
            }
            Some(own)
        });
        drop(own);
    }
}

/// Takes the flow's own connection to `key`, if it is still usable.
pub(crate) fn take_own(flow: FlowId, key: Key, now: Instant, careful: AskKernel) -> Option<Box<Connection>> {
    POOL.with_borrow_mut(|pool| {
        let own = pool.own.get_mut(&flow)?;
        let at = own.idle.iter().position(|connection| connection.key == key)?;
        let connection = own.idle.swap_remove(at);
        connection.is_usable(now, careful).then_some(connection)
    })
}

/// Takes a connection to `key` that an earlier flow has left and that `fits`, the most recent first.
pub(crate) fn take_shared(
    flow: FlowId,
    key: Key,
    fits: impl Fn(&Connection) -> bool,
) -> Option<Box<Connection>> {
    POOL.with_borrow_mut(|pool| {
        let idle = pool.shared.get_mut(&key)?;
        let now = Instant::now();
        while let Some(at) = idle.iter().rposition(|connection| fits(connection)) {
            let mut connection = idle.remove(at)?;
            pool.shared_count -= 1;
            if connection.is_usable(now, AskKernel::Yes) {
                connection.flow = flow;
                return Some(connection);
            }
        }
        None
    })
}

/// Waits until the origin has ended `flow`'s own idle connection to `destination`, and says how. Without one, for ever.
pub(crate) async fn own_ended(flow: FlowId, destination: SocketAddr) -> Idle {
    poll_fn(|cx| {
        POOL.with_borrow(|pool| {
            let own = pool.own.get(&flow).and_then(|own| own.idle.last());
            let Some(idle) = own.filter(|idle| idle.key.destination == destination) else {
                return Poll::Pending;
            };
            loop {
                let _ = std::task::ready!(idle.stream.poll_read_ready(cx));
                match wire::idle_state(&idle.stream, AskKernel::Yes) {
                    Idle::Quiet => {}
                    ended => return Poll::Ready(ended),
                }
            }
        })
    })
    .await
}

/// Where the connection that was dialled in advance for `flow` leads, if nobody has taken it yet.
pub(crate) fn spare_destination(flow: FlowId) -> Option<SocketAddr> {
    POOL.with_borrow(|pool| pool.own.get(&flow)?.spare.as_ref().map(|(leads_to, _)| *leads_to))
}

/// Whether an idle connection waits that any flow may take.
pub(crate) fn has_shared(key: Key) -> bool {
    POOL.with_borrow(|pool| pool.shared.get(&key).is_some_and(|idle| !idle.is_empty()))
}

/// Takes what `flow` would send its next bytes on: its own idle connection, or the one that was dialled in advance.
pub(crate) fn take_for_relay(flow: &Flow) -> Option<(SocketAddr, Spare)> {
    POOL.with_borrow_mut(|pool| {
        let own = pool.own.get_mut(&flow.id)?;
        if let Some(idle) = own.idle.pop() {
            let idle = *idle;
            flow.ahead.put(Places::Given(idle.places, Instant::now()));
            return Some((idle.key.destination, ready(Ok(idle.stream)).boxed()));
        }
        own.spare.take()
    })
}

/// Binds the flow of `connection` to it: its destination authenticates connections, not requests (NTLM, Negotiate).
pub(crate) fn bind(connection: &mut Connection) {
    connection.hold_open();
    let closed = POOL.with_borrow_mut(|pool| {
        if let Some(own) = pool.own.get_mut(&connection.flow) {
            own.bound_to = Some(connection.key.destination);
            own.bound_by.clone_from(&connection.upstream);
        }
        if pool.authenticating.len() >= AUTHENTICATING_MAX {
            pool.authenticating.clear();
        }
        pool.authenticating.insert(connection.key);
        let shared = pool.shared.remove(&connection.key)?;
        pool.shared_count -= shared.len();
        Some(shared)
    });
    drop(closed);
}

/// Where the connection leads that authenticates the user of `flow`, if one does.
pub(crate) fn bound_to(flow: FlowId) -> Option<SocketAddr> {
    POOL.with_borrow(|pool| pool.own.get(&flow)?.bound_to)
}

/// Whether that connection was dialled for `upstream`, whose addresses may be others by now.
pub(crate) fn is_bound_by(flow: FlowId, upstream: &str) -> bool {
    POOL.with_borrow(|pool| pool.own.get(&flow).is_some_and(|own| own.bound_by.as_deref() == Some(upstream)))
}

/// Closes idle connections of this worker whose places somebody waits for, as many as are waited for: shared ones first,
/// then those that flows keep for themselves.
pub(crate) fn close_awaited() {
    POOL.with_borrow_mut(Pool::close_awaited);
}

/// Takes the connection that was dialled in advance for `flow`, if it leads to `destination`; one that does not is
/// closed, because nobody will use it any more.
pub(crate) fn take_spare(flow: FlowId, destination: SocketAddr) -> Option<Spare> {
    let (leads_to, spare) = POOL.with_borrow_mut(|pool| pool.own.get_mut(&flow)?.spare.take())?;
    (leads_to == destination).then_some(spare)
}

/// Puts back what [`take_spare`] took.
pub(crate) fn return_spare(flow: FlowId, destination: SocketAddr, spare: Spare) {
    POOL.with_borrow_mut(|pool| {
        if let Some(own) = pool.own.get_mut(&flow) {
            own.spare = Some((destination, spare));
        }
    });
}

/// Gives a clean connection, which is idle from `now` on, back to its flow, or to all if the flow has ended.
pub(crate) fn give_back(mut connection: Box<Connection>, now: Instant) {
    connection.reused = true;
    connection.idle_since = now;
    // Who waits for its place comes before whoever may want it later.
    if connection.is_awaited() {
        return;
    }
    let evicted = POOL.with_borrow_mut(|pool| {
        pool.keep_swept();
        let Some(own) = pool.own.get_mut(&connection.flow) else {
            pool.share(connection);
            return None;
        };
        let oldest = own.idle.iter().position(|idle| !idle.held_open).filter(|_| own.idle.len() >= OWN_MAX);
        let evicted = oldest.map(|at| own.idle.remove(at));
        own.idle.push(connection);
        evicted
    });
    drop(evicted);
}

/// The flow's HTTP/2 connection to `destination`: one, shared by all of its streams. A stream that outlives its flow
/// gets one that nobody keeps.
pub(crate) fn multiplexed(flow: FlowId, destination: SocketAddr) -> Multiplexed {
    POOL.with_borrow_mut(|pool| {
        let Some(own) = pool.own.get_mut(&flow) else { return Multiplexed::default() };
        if let Some((_, connection)) = own.http2.iter().find(|(leads_to, _)| *leads_to == destination) {
            return connection.clone();
        }
        let connection = Multiplexed::default();
        own.http2.push((destination, connection.clone()));
        connection
    })
}

/// What the program's connection of an HTTP/2 flow has in common with its upstream's; `None` when the flow has ended.
pub(crate) fn link(flow: FlowId) -> Option<Arc<Link>> {
    POOL.with_borrow_mut(|pool| Some(Arc::clone(pool.own.get_mut(&flow)?.link.get_or_insert_default())))
}

/// Forgets the flow's HTTP/2 connection to `destination`, so that the next stream dials.
pub(crate) fn forget(flow: FlowId, destination: SocketAddr, connection: &Multiplexed) {
    let forgotten = POOL.with_borrow_mut(|pool| {
        let own = pool.own.get_mut(&flow)?;
        let at =
            own.http2.iter().position(|(leads_to, held)| *leads_to == destination && held.is(connection))?;
        Some(own.http2.swap_remove(at))
    });
    drop(forgotten);
}

/// Bounds the idle connections that the calling worker keeps for later flows; each takes a descriptor.
pub fn keep_at_most(connections: usize) {
    POOL.with_borrow_mut(|pool| pool.shared_most = Some(connections));
}

/// Idle connections that later flows of this worker may take.
pub fn shared_idle() -> usize {
    POOL.with_borrow(|pool| pool.shared_count)
}

/// The most idle connections of one flow (one for each endpoint that it has been sent to).
const OWN_MAX: usize = 64;
/// Destinations that are remembered to authenticate connections.
const AUTHENTICATING_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_outlives_its_flow_leaves_nothing_behind() {
        let (flow, destination) = (FlowId(u64::MAX), ([10, 0, 0, 1], 80).into());
        let (one, other) = (multiplexed(flow, destination), multiplexed(flow, destination));
        assert!(!one.is(&other), "nobody keeps it");
        POOL.with_borrow(|pool| assert!(!pool.own.contains_key(&flow)));
    }
}
