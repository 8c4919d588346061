// SPDX-License-Identifier: Apache-2.0
//! The program's side of an HTTP/1 flow: its requests, one after the other, through the stack and back.
//!
//! The flow lives in one task; nothing is spawned for a request. A connection ends towards the program as the
//! origin ended it: kept where both sides keep it, closed where one closes it, reset where the upstream was reset.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll};

use bytes::BytesMut;
use http::StatusCode;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::{
    inbound::{Inbound, NoHead},
    reply::{self, Cut},
};
use crate::http1::{
    framing::Version,
    head::{HeadError, RequestHead},
    peer::{InterimSink, Peer},
    wire,
};
use crate::{
    message::{
        self, Request, Response, ResponseHead, Stack, Upgrade,
        body::{Body, BodyError},
        error::ProxyError,
        flow::Flow,
        local::{LocalReply, Then},
    },
    net::copy::relay,
    upstream::pool::{self, FlowConnections, Spare},
};

/// How an HTTP flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// One side closed it where it may be closed.
    Closed,
    /// The program went away in the middle of a request or of a reply.
    ClientGone,
    /// The program was cut off because the upstream failed.
    Cut,
    /// The program was refused: what it sent is malformed, or too long.
    Refused,
    /// The connection had changed its protocol, and both sides have ended.
    Upgraded,
}

/// Serves the requests of a flow whose first bytes, `prefix`, have been read; `spare` is a connection to its
/// original destination that was dialled in advance.
pub async fn serve(
    stream: TcpStream,
    prefix: BytesMut,
    flow: Arc<Flow>,
    stack: Stack,
    spare: Option<(SocketAddr, Spare)>,
) -> FlowEnd {
    // Replies go out as they come.
    let _ = stream.set_nodelay(true);
    let connections = FlowConnections::open(&flow, spare);
    let peer = Arc::new(Peer::new(stream));
    let inbound = Inbound::new(peer.clone(), prefix);
    let end = Server { peer, inbound, flow, stack }.run().await;
    drop(connections);
    end
}

struct Server {
    peer: Arc<Peer>,
    inbound: Inbound,
    flow: Arc<Flow>,
    stack: Stack,
}

/// An exchange under way. One that is dropped, as when ambassador ends, is reset: a reply that is cut must not look
/// complete because its end is that of the connection.
struct Unfinished(Option<Arc<Peer>>);

impl Unfinished {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(peer) = &self.0 {
            wire::reset_on_close(&peer.stream);
        }
    }
}

/// What follows a reply.
enum Next {
    Request,
    Close,
    Drain,
    Upgrade(Upgrade, Body),
}

impl Server {
    async fn run(mut self) -> FlowEnd {
        loop {
            let head = tokio::select! {
                biased;
                head = self.inbound.head() => head,
                // Between two requests the origin's end is the program's, as it would be without a proxy.
                () = pool::own_ended(self.flow.id, self.flow.original_dst) => return FlowEnd::Closed,
            };
            let head = match head {
                Ok(head) => head,
                Err(NoHead::Ended) => return FlowEnd::Closed,
                Err(NoHead::Gone) => return FlowEnd::ClientGone,
                Err(NoHead::Refused(error)) => return self.refuse(error).await,
            };
            let Ok(body) = self.inbound.body(&head) else {
                return self.refuse(HeadError::Malformed("the chunks of the body are malformed")).await;
            };
            match self.exchange(head, body).await {
                Ok(Next::Request) => {}
                Ok(Next::Close) => return FlowEnd::Closed,
                Ok(Next::Drain) => {
                    wire::shutdown_write(&self.peer.stream);
                    self.inbound.drain().await;
                    return FlowEnd::Closed;
                }
                Ok(Next::Upgrade(upgrade, body)) => return self.upgrade(upgrade, body).await,
                Err(end) => return end,
            }
        }
    }

    async fn exchange(&mut self, head: RequestHead, body: Body) -> Result<Next, FlowEnd> {
        let unfinished = Unfinished(Some(Arc::clone(&self.peer)));
        let next = self.exchange_once(head, body).await;
        unfinished.done();
        next
    }

    async fn exchange_once(&mut self, head: RequestHead, body: Body) -> Result<Next, FlowEnd> {
        let request = Request::new(
            message::RequestHead::Http1(head.clone()),
            body,
            self.flow.clone(),
            InterimSink::http1(self.peer.clone()),
        );
        let mut response = match self.call(request).await? {
            Ok(response) => response,
            Err(error) => return Err(self.cut_off(&error)),
        };
        match response.head {
            ResponseHead::Http1(reply) => {
                if let Some(upgrade) = response.upgrade {
                    // The body's end is the end of the upgraded connection.
                    self.relay(reply.raw(), &mut Body::empty()).await?;
                    return Ok(Next::Upgrade(upgrade, response.body));
                }
                self.relay(reply.raw(), &mut response.body).await?;
                drop(response.body);
                Ok(self.next(reply.persists(&head)))
            }
            ResponseHead::Local(reply) => {
                let persists = head.persists() && head.version() == Version::Http11;
                let then =
                    if persists && self.inbound.is_at_request() { Then::KeepAlive } else { Then::Close };
                self.relay(&reply.http1(head.method(), then), &mut response.body).await?;
                Ok(self.next(then == Then::KeepAlive))
            }
            ResponseHead::Http2(_) => {
                wire::reset_on_close(&self.peer.stream);
                Err(FlowEnd::Cut)
            }
        }
    }

    /// Waits for the reply, or for the program's reset.
    async fn call(&mut self, request: Request) -> Result<Result<Response, ProxyError>, FlowEnd> {
        if let Err(error) = self.stack.ready().await {
            return Ok(Err(error));
        }
        let mut call = self.stack.call(request);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
                return Poll::Ready(Ok(outcome));
            }
            let was_half_closed = self.peer.is_half_closed();
            if self.inbound.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(FlowEnd::ClientGone));
            }
            if self.peer.is_half_closed() && !was_half_closed {
                // The upstream is to see it as well.
                return call.as_mut().poll(cx).map(Ok);
            }
            Poll::Pending
        })
        .await
    }

    async fn relay(&mut self, head: &[u8], body: &mut Body) -> Result<(), FlowEnd> {
        match reply::relay(&self.peer, &mut self.inbound, head, body).await {
            Ok(()) => Ok(()),
            Err(Cut::Client) => Err(FlowEnd::ClientGone),
            // The end of the upstream's stream becomes the end of the program's: it sees a short body in both.
            Err(Cut::Upstream(BodyError::Truncated)) => Err(FlowEnd::Cut),
            Err(Cut::Upstream(_)) => {
                wire::reset_on_close(&self.peer.stream);
                Err(FlowEnd::Cut)
            }
        }
    }

    fn next(&mut self, persists: bool) -> Next {
        match (persists, self.inbound.is_at_request()) {
            (true, true) => Next::Request,
            (false, true) => Next::Close,
            (_, false) => Next::Drain,
        }
    }

    /// No layer made a reply of this failure, so the program sees what it would have seen without a proxy.
    fn cut_off(&self, error: &ProxyError) -> FlowEnd {
        match error {
            ProxyError::ClientGone(_) => return FlowEnd::ClientGone,
            ProxyError::Disconnected { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {}
            _ => wire::reset_on_close(&self.peer.stream),
        }
        FlowEnd::Cut
    }

    async fn refuse(&mut self, error: HeadError) -> FlowEnd {
        let (status, message) = match error {
            HeadError::Malformed(what) => (StatusCode::BAD_REQUEST, what),
            HeadError::LineTooLong => (StatusCode::URI_TOO_LONG, "the request line is too long"),
            HeadError::TooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large")
            }
        };
        let reply = LocalReply::refusal(status, message).http1("GET", Then::Close);
        if self.relay(&reply, &mut Body::empty()).await.is_ok() {
            wire::shutdown_write(&self.peer.stream);
            self.inbound.drain().await;
        }
        FlowEnd::Refused
    }

    async fn upgrade(mut self, upgrade: Upgrade, mut body: Body) -> FlowEnd {
        let sent = self.inbound.take_ahead();
        drop(self.inbound);
        // Whoever else still holds the program's end would only write interim replies, of which there are no more.
        let Some(peer) = Arc::into_inner(self.peer) else { return FlowEnd::Cut };
        let relayed = relay(peer.stream, upgrade.upstream, sent, upgrade.received, None).await;
        body.count(relayed.received);
        FlowEnd::Upgraded
    }
}
