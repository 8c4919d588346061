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
    http1, http2, places,
    pool::{self, Spare},
};
use crate::{
    http1::{head, wire::AskKernel},
    message::{
        AttemptInfo, Request, RequestHead, Response, Reuse,
        ahead::Places,
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
    let Opened { stream, places, since } = open(request, spare).await?;
    let mut fresh = Connection::new(stream, key, flow.id, request.keep_idle, places);
    fresh.unshared |= is_bound;
    let plan = request.plan.as_ref().filter(|plan| !plan.host_mismatch);
    let upstream = plan.and_then(|plan| plan.route().upstream.as_ref());
    fresh.upstream = upstream.map(|upstream| Arc::clone(&upstream.name));
    Ok((fresh, Some(since.elapsed())))
}

/// Whether `connection` counts among `maxConnections` where a new one for `request` would.
fn counts_for(request: &Request, connection: &Connection) -> bool {
    let limits = request.plan.as_ref().map_or(&[][..], |plan| &plan.state.bulkheads);
    places::fit(&connection.places, limits)
}

/// A connection that was opened for a request.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    /// Its places among `maxConnections`, for as long as it is open.
    pub(super) places: Vec<Permit>,
    /// When the dial began, as far as this request has waited for it: not the wait for a place.
    pub(super) since: Instant,
}

/// Opens a connection, or takes `spare`, as soon as `maxConnections` has a place for it.
pub(super) async fn open(request: &Request, spare: Option<Spare>) -> Result<Opened, ProxyError> {
    let flow = &request.flow;
    let plan = request.plan.as_ref().filter(|plan| plan.route().mode.acts());
    let limits = plan.map_or(&[][..], |plan| &plan.state.bulkheads);
    let asked = Instant::now();
    if !places::are_limited(limits) {
        let dialled = match spare {
            Some(spare) => spare.await,
            None => flow.dial(request.destination(), request.connect_timeout).await,
        };
        let stream = dialled.map_err(ProxyError::Connect)?;
        return Ok(Opened { stream, places: Vec::new(), since: asked });
    }
    let mut ahead = flow.ahead.take();
    if let Some(spare) = spare.filter(|_| !matches!(ahead, Places::Refused)) {
        let dialled = spare.await;
        if let Places::None = ahead {
            // It may have waited for them.
            ahead = flow.ahead.take();
        }
        match (dialled, ahead) {
            (dialled, Places::Given(places, since)) if places::fit(&places, limits) => {
                let stream = dialled.map_err(ProxyError::Connect)?;
                return Ok(Opened { stream, places, since: since.max(asked) });
            }
            (Err(_), Places::Refused) => return Err(ProxyError::Overflow { limit: "maxConnections" }),
            (dialled, _) => {
                let stream = dialled.map_err(ProxyError::Connect)?;
                if let Some(places) = places::try_enter(limits) {
                    return Ok(Opened { stream, places, since: asked });
                }
                // It must not be open while its request waits for a place.
            }
        }
    }
    let places = places::enter(limits).await?;
    let since = Instant::now();
    let dialled = flow.dial(request.destination(), request.connect_timeout).await;
    Ok(Opened { stream: dialled.map_err(ProxyError::Connect)?, places, since })
}
