// SPDX-License-Identifier: Apache-2.0
//! The innermost service of the stack: one attempt of a request on one upstream connection.
//!
//! An HTTP/1 request goes out on its flow's own connection, on the one that was dialled in advance, or on a new one;
//! only a request that can be repeated may take a connection that another flow has left, because such a one may be
//! stale. It retries nothing and times nothing but the dial: layers do.

use std::{future::ready, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::Instant};

use super::{
    connection::{Connection, Key},
    http1, http2,
    pool::{self, Spare},
};
use crate::{
    http1::{head, wire::AskKernel},
    message::{
        AttemptInfo, Request, RequestHead, Response, Reuse,
        error::ProxyError,
        stage::{Outcome, Reply, Serve},
    },
    policy::{bulkhead::Permit, retry::is_idempotent},
};

/// Sends a request to its upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange;

impl Serve for Exchange {
    fn serve(&self, mut request: Box<Request>) -> impl Future<Output = Outcome> + Send {
        let replied = request.replied.take();
        // Boxed, because it is by far the largest part of a request.
        let outcome: Reply<'_> = match (&request.head, replied) {
            (_, Some(replied)) => Box::pin(ready(Ok(replied))),
            (RequestHead::Http1(head), None) => {
                let head = Arc::clone(head);
                Box::pin(exchange_http1(request, head))
            }
            (RequestHead::Http2(parts), None) => {
                let parts = Arc::clone(parts);
                Box::pin(http2::exchange(request, parts))
            }
        };
        outcome
    }
}

async fn exchange_http1(
    request: Box<Request>,
    head: Arc<head::RequestHead>,
) -> Result<Box<Response>, ProxyError> {
    let endpoint = request.destination();
    let (connection, connect) = checkout(&request).await?;
    let reused = connection.reused;
    let mut response = http1::exchange(connection, head, request).await?;
    response.attempt = Some(AttemptInfo { endpoint, reused, connect });
    Ok(response)
}

/// Takes or dials a connection; the duration is that of the dial, as far as this request has waited for it.
async fn checkout(request: &Request) -> Result<(Box<Connection>, Option<Duration>), ProxyError> {
    let flow = &request.flow;
    let destination = request.destination();
    let key = Key { netns_cookie: flow.netns_cookie, destination };
    let repeatable =
        is_idempotent(request.head.method()) && request.body.is_at_hand() && !request.head.is_upgrade();
    let careful = if repeatable { AskKernel::No } else { AskKernel::Yes };
    let may_reuse = request.reuse == Reuse::Allowed;
    if may_reuse && let Some(mut own) = pool::take_own(flow.id, key, request.resumed, careful) {
        own.keep_no_longer_than(request.keep_idle);
        return Ok((own, None));
    }
    let spare = pool::take_spare(flow.id, destination);
    // A connection that another flow has left does not come from where this program has bound its socket to.
    let is_bound = flow.source.bound_ip().is_some();
    if spare.is_none()
        && !is_bound
        && may_reuse
        && repeatable
        // A route that shares none of its own takes none of another's.
        && request.keep_idle.is_some()
        && let Some(mut shared) = pool::take_shared(flow.id, key, |shared| counts_for(request, shared))
    {
        shared.keep_no_longer_than(request.keep_idle);
        return Ok((shared, None));
    }
    let started = Instant::now();
    let (stream, places) = open(request, spare).await?;
    let mut fresh = Connection::new(stream, key, flow.id, request.keep_idle, places);
    fresh.unshared |= is_bound;
    let plan = request.plan.as_ref().filter(|plan| !plan.host_mismatch);
    let upstream = plan.and_then(|plan| plan.route().upstream.as_ref());
    fresh.upstream = upstream.map(|upstream| Arc::clone(&upstream.name));
    Ok((fresh, Some(started.elapsed())))
}

/// Whether `connection` counts among `maxConnections` where a new one for `request` would.
fn counts_for(request: &Request, connection: &Connection) -> bool {
    let places = &connection.places;
    let limits = request.plan.as_ref().map_or(&[][..], |plan| &plan.state.bulkheads);
    let limits = || limits.iter().map(|limits| &limits.connections).filter(|gate| gate.limit().is_some());
    limits().all(|gate| places.iter().any(|place| place.is_in(gate)))
        && places.iter().all(|place| !place.is_limited() || limits().any(|gate| place.is_in(gate)))
}

/// Opens a connection, or takes `spare`, if `maxConnections` has a place for it; the place is the connection's for as
/// long as it is open.
pub(super) async fn open(
    request: &Request,
    spare: Option<Spare>,
) -> Result<(TcpStream, Vec<Permit>), ProxyError> {
    let (flow, destination) = (&request.flow, request.destination());
    let places = places(request, Key { netns_cookie: flow.netns_cookie, destination })?;
    let dialled = match spare {
        Some(spare) => spare.await,
        None => flow.dial(destination, request.connect_timeout).await,
    };
    Ok((dialled.map_err(ProxyError::Connect)?, places))
}

fn places(request: &Request, key: Key) -> Result<Vec<Permit>, ProxyError> {
    let Some(plan) = request.plan.as_ref().filter(|plan| plan.route().mode.acts()) else {
        return Ok(Vec::new());
    };
    let bulkheads = &plan.state.bulkheads;
    let take = || bulkheads.iter().map(|limits| limits.connections.try_enter()).collect::<Option<Vec<_>>>();
    // An idle connection gives its place up to a request that needs one.
    take()
        .or_else(|| pool::close_idle(key).then(take).flatten())
        .ok_or(ProxyError::Overflow { limit: "maxConnections" })
}
