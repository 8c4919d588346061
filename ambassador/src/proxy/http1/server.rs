// SPDX-License-Identifier: Apache-2.0
//! The program's side of an HTTP/1 flow: its requests, one after the other, through the stack and back.
//!
//! The flow lives in one task; nothing is spawned for a request. A connection ends towards the program as the
//! origin ended it: kept where both sides keep it, closed where one closes it, reset where the upstream was reset.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::net::TcpStream;

use super::{
    inbound::{Inbound, NoHead},
    pipelines::Pipelines,
    relayed::{Relayed, Unread},
    reply::{self, Cut},
    unclear::Unclear,
    unfinished::Unfinished,
};
use crate::http1::{
    framing::Version,
    head::{HeadError, RequestHead},
    peer::Peer,
    wire::{self, Follows, Idle},
};
use crate::{
    message::{
        self, Request, Response, ResponseHead, Stack, Timer, Upgrade,
        body::{Body, BodyError},
        error::ProxyError,
        flow::Flow,
        interim::InterimSink,
        local::{LocalReply, Then},
    },
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
/// original destination that was dialled in advance. `Err` hands a flow on that cannot be read any further, if
/// `unclear` allows it.
pub async fn serve(
    stream: TcpStream,
    prefix: BytesMut,
    flow: Arc<Flow>,
    stack: Stack,
    spare: Option<(SocketAddr, Spare)>,
    unclear: Unclear,
    pipelines: Pipelines,
) -> Result<FlowEnd, Unread> {
    let connections = FlowConnections::open(&flow, spare);
    let peer = Arc::new(Peer::new(stream, Arc::clone(&flow.program)));
    let inbound = Inbound::new(peer.clone(), prefix, unclear, pipelines);
    let end = Server { peer, inbound, flow, stack, timer: None }.run().await;
    drop(connections);
    end
}

struct Server {
    peer: Arc<Peer>,
    inbound: Inbound,
    flow: Arc<Flow>,
    stack: Stack,
    /// What bounded the last request, for the next one.
    timer: Option<Timer>,
}

/// What follows a reply.
enum Next {
    Request,
    Close,
    Drain,
    Relay(Box<Relayed>),
}

impl Server {
    async fn run(mut self) -> Result<FlowEnd, Unread> {
        loop {
            let head = tokio::select! {
                biased;
                head = self.inbound.head() => head,
                // Between two requests the origin's end is the program's, as it would be without a proxy.
                end = pool::own_ended(self.flow.id, self.flow.original_dst) => {
                    if end == Idle::Failed {
                        wire::reset_on_close(&self.peer.stream);
                    }
                    return Ok(FlowEnd::Closed);
                }
            };
            let head = match head.and_then(|head| self.inbound.readable_ever_after(head)) {
                Ok(head) => head,
                Err(NoHead::Ended) => return Ok(FlowEnd::Closed),
                Err(NoHead::Gone) => return Ok(FlowEnd::ClientGone),
                Err(NoHead::Unfinished) => return self.unfinished(),
                Err(NoHead::Refused(error)) => return self.refuse(error).await,
            };
            let mut request = self.request(&head);
            if self.inbound.body(&head, &mut request.body).is_err() {
                // Who hands the flow on must be the only one who holds the program's end.
                drop(request);
                return self.refuse(HeadError::Malformed("the chunks of the body are malformed")).await;
            }
            match self.exchange(&head, request).await {
                Ok(Next::Request) => {}
                Ok(Next::Close) => return Ok(FlowEnd::Closed),
                Ok(Next::Drain) => {
                    wire::shutdown_write(&self.peer.stream);
                    self.inbound.drain().await;
                    return Ok(FlowEnd::Closed);
                }
                Ok(Next::Relay(relayed)) => {
                    return Ok(relayed.run(self.peer, self.inbound, self.flow, self.stack).await);
                }
                Err(end) => return Ok(end),
            }
        }
    }

    /// A request with `head`, without a body.
    fn request(&mut self, head: &Arc<RequestHead>) -> Box<Request> {
        let head = message::RequestHead::Http1(Arc::clone(head));
        self.peer.forget_passed_end();
        let interim = InterimSink::http1(self.peer.clone());
        let mut request = Request::new(head, Body::empty(), self.flow.clone(), interim);
        request.timer = self.timer.take();
        request
    }

    async fn exchange(&mut self, head: &RequestHead, request: Box<Request>) -> Result<Next, FlowEnd> {
        let unfinished = Unfinished::new(&self.peer);
        let next = self.exchange_once(head, request).await;
        unfinished.done();
        next
    }

    async fn exchange_once(&mut self, head: &RequestHead, request: Box<Request>) -> Result<Next, FlowEnd> {
        let mut response = match self.call(request).await? {
            Ok(response) => response,
            Err(error) => return Err(self.cut_off(&error)),
        };
        self.timer = response.timer.take();
        let (upgrade, idle) = (response.upgrade.take(), response.idle);
        match &response.head {
            ResponseHead::Http1(reply) => {
                let persists = reply.persists(head);
                self.follow(reply.raw(), &mut response.body, upgrade, idle, persists).await
            }
            ResponseHead::Unread(_) => self.follow(b"", &mut response.body, upgrade, idle, false).await,
            ResponseHead::Local(reply) => {
                // A program that was known by its connection must learn that this has ended.
                let bound = pool::bound_to(self.flow.id).is_some();
                let persists = head.persists() && head.version() == Version::Http11 && !bound;
                let then =
                    if persists && self.inbound.is_at_request() { Then::KeepAlive } else { Then::Close };
                let follows = self.follows(then == Then::KeepAlive);
                self.relay(&reply.http1(head.method(), then), &mut response.body, follows)
                    .await
                    .map_err(|cut| self.end_of(&cut))?;
                Ok(self.next(then == Then::KeepAlive))
            }
            ResponseHead::Http2(_) => {
                wire::reset_on_close(&self.peer.stream);
                Err(FlowEnd::Cut)
            }
        }
    }

    /// Waits for the reply, or until the program is gone.
    async fn call(&mut self, request: Box<Request>) -> Result<Result<Box<Response>, ProxyError>, FlowEnd> {
        let mut call = self.stack.serve(request);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
                    return Poll::Ready(Ok(outcome));
                }
                let before = self.peer.signs();
                if self.inbound.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(FlowEnd::ClientGone));
                }
                if self.peer.signs() == before {
                    return Poll::Pending;
                }
                // The upstream is to see it as well.
            }
        })
        .await
    }

    /// Relays a reply of the origin, and says what follows it.
    async fn follow(
        &mut self,
        head: &[u8],
        body: &mut Body,
        upgrade: Option<Box<Upgrade>>,
        idle: Option<Duration>,
        persists: bool,
    ) -> Result<Next, FlowEnd> {
        let relayed = |upgrade, body: &mut Body| {
            let body = std::mem::take(body);
            Next::Relay(Box::new(Relayed { upgrade, body, idle }))
        };
        if let Some(mut upgrade) = upgrade {
            // What came together leaves together. The body's end is the end of the relayed connection.
            upgrade.unwritten = Bytes::copy_from_slice(head);
            return Ok(relayed(upgrade, body));
        }
        let follows = self.follows(persists);
        match self.relay(head, body, follows).await {
            Ok(()) => {
                *body = Body::empty();
                Ok(self.next(persists))
            }
            Err(Cut::Upstream(BodyError::Unread(upgrade))) => Ok(relayed(upgrade, body)),
            Err(cut) => Err(self.end_of(&cut)),
        }
    }

    async fn relay(&mut self, head: &[u8], body: &mut Body, follows: Follows) -> Result<(), Cut> {
        reply::relay(&self.peer, &mut self.inbound, head, body, follows).await
    }

    /// Ends the program's connection as the reply was cut.
    fn end_of(&self, cut: &Cut) -> FlowEnd {
        match cut {
            Cut::Client => FlowEnd::ClientGone,
            // The end of the upstream's stream becomes the end of the program's: it sees a short body in both.
            Cut::Upstream(BodyError::Truncated) => FlowEnd::Cut,
            Cut::Upstream(_) => {
                wire::reset_on_close(&self.peer.stream);
                FlowEnd::Cut
            }
        }
    }

    /// What follows a reply for sure: while its request is still arriving, its end may be a reset, which drops what
    /// waits for an orderly one.
    fn follows(&mut self, persists: bool) -> Follows {
        if !persists && self.inbound.is_at_request() { Follows::End } else { Follows::Bytes }
    }

    fn next(&mut self, persists: bool) -> Next {
        match (persists && !self.peer.is_spent(), self.inbound.is_at_request()) {
            (true, true) => Next::Request,
            (false, true) if !self.inbound.has_more() => Next::Close,
            (_, false) if self.peer.is_cut_off() => {
                wire::reset_on_close(&self.peer.stream);
                Next::Close
            }
            _ => Next::Drain,
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

    /// A head that cannot be read ends a flow that may only be read, and hands on any other.
    fn unfinished(self) -> Result<FlowEnd, Unread> {
        match self.inbound.unclear() {
            Unclear::Refuse => Ok(FlowEnd::ClientGone),
            Unclear::Relay => self.hand_on(),
        }
    }

    async fn refuse(mut self, error: HeadError) -> Result<FlowEnd, Unread> {
        if self.inbound.unclear() == Unclear::Relay {
            return self.hand_on();
        }
        let (status, message) = match error {
            HeadError::Malformed(what) => (StatusCode::BAD_REQUEST, what),
            HeadError::LineTooLong => (StatusCode::URI_TOO_LONG, "the request line is too long"),
            HeadError::TooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large")
            }
        };
        let reply = LocalReply::refusal(status, message).http1("GET", Then::Close);
        if self.relay(&reply, &mut Body::empty(), Follows::End).await.is_ok() {
            wire::shutdown_write(&self.peer.stream);
            self.inbound.drain().await;
        }
        Ok(FlowEnd::Refused)
    }

    /// Gives the flow up to be relayed as it is, on the connection that it would have used.
    fn hand_on(self) -> Result<FlowEnd, Unread> {
        Unread::rest_of(&self.flow, self.peer, self.inbound).map_or(Ok(FlowEnd::Cut), Err)
    }
}
