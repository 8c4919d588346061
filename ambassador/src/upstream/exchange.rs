// SPDX-License-Identifier: Apache-2.0
//! The innermost service of the stack: one attempt of a request on one upstream connection.
//!
//! An HTTP/1 request goes out on its flow's own connection, on the one that was dialled in advance, or on a new one;
//! only a request that can be repeated may take a connection that another flow has left, because such a one may be
//! stale. It retries nothing and times nothing but the dial: layers do.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::Instant};

use super::{
    http1, http2,
    pool::{self, Connection, Key},
};
use crate::{
    http1::{head, wire::AskKernel},
    message::{
        AttemptInfo, Request, RequestHead, Response, Reuse,
        error::ProxyError,
        flow::Flow,
        stage::{Reply, Serve},
    },
    policy::retry::is_idempotent,
};

/// Sends a request to its upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange;

impl Serve for Exchange {
    fn serve(&self, request: Request) -> Reply {
        match &request.head {
            RequestHead::Http1(head) => {
                let head = head.clone();
                Box::pin(exchange_http1(request, head))
            }
            RequestHead::Http2(parts) => {
                let parts = Arc::clone(parts);
                Box::pin(http2::exchange(request, parts))
            }
        }
    }
}

async fn exchange_http1(request: Request, head: head::RequestHead) -> Result<Response, ProxyError> {
    let endpoint = request.destination();
    let (connection, connect) = checkout(&request).await?;
    let reused = connection.reused;
    let mut response = http1::exchange(connection, head, request.body, request.interim).await?;
    response.attempt = Some(AttemptInfo { endpoint, reused, connect });
    Ok(response)
}

/// Takes or dials a connection; the duration is that of the dial, as far as this request has waited for it.
async fn checkout(request: &Request) -> Result<(Connection, Option<Duration>), ProxyError> {
    let flow = &request.flow;
    let destination = request.destination();
    let key = Key { netns_cookie: flow.netns_cookie, destination };
    let repeatable =
        is_idempotent(request.head.method()) && request.body.is_at_hand() && !request.head.is_upgrade();
    let careful = if repeatable { AskKernel::No } else { AskKernel::Yes };
    let may_reuse = request.reuse == Reuse::Allowed;
    if may_reuse && let Some(mut own) = pool::take_own(flow.id, key, careful) {
        own.idle_limit = own.idle_limit.min(request.idle_timeout);
        return Ok((own, None));
    }
    let fresh = |stream| Connection::new(stream, key, flow.id, request.idle_timeout);
    let started = Instant::now();
    if let Some(spare) = pool::take_spare(flow.id, destination) {
        let stream = spare.await.map_err(ProxyError::Connect)?;
        return Ok((fresh(stream), Some(started.elapsed())));
    }
    if may_reuse
        && repeatable
        && let Some(shared) = pool::take_shared(flow.id, key)
    {
        return Ok((shared, None));
    }
    let stream = dial(flow, request).await?;
    Ok((fresh(stream), Some(started.elapsed())))
}

pub(super) async fn dial(flow: &Flow, request: &Request) -> Result<TcpStream, ProxyError> {
    flow.dial(request.destination(), request.connect_timeout).await.map_err(ProxyError::Connect)
}
