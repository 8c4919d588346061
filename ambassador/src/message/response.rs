// SPDX-License-Identifier: Apache-2.0
//! The reply to a request as the stack of layers sees it, and what may follow it on its connection.
//!
//! It exists for every version of HTTP, for replies of ambassador's own, and for what is no HTTP at all; the bytes of its
//! head are never changed here.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use super::{Timer, body::Body, error::ProxyError, http2_header, local::LocalReply};
use crate::{
    http1::{framing::Delimiter, head},
    policy::bulkhead::Permit,
};

/// The reply to a request.
pub struct Response {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: Body,
    /// What follows the head is relayed as bytes: the connection has changed its protocol, or is not HTTP as we know
    /// it.
    pub upgrade: Option<Box<Upgrade>>,
    /// How long no byte may move on an upgraded connection.
    pub idle: Option<Duration>,
    /// What the attempt that brought it was like; `None` for a reply of ambassador's own.
    pub attempt: Option<AttemptInfo>,
    /// The error that this reply of ambassador's own stands for.
    pub cause: Option<ProxyError>,
    /// What the program loses if the upstream's connection is lost in the middle of this reply's body.
    pub loss: Loss,
    /// The timer that bounded it, for the next request of its flow.
    pub timer: Option<Timer>,
}

/// What a program loses with a connection to its upstream. (An HTTP/1 reply has its connection to itself.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The stream of this reply.
    Stream,
    /// Its whole connection, as it would without a proxy.
    Connection,
}

impl Response {
    /// A reply whose body is `body`.
    pub fn new(head: ResponseHead, body: Body) -> Box<Self> {
        let loss = Loss::Stream;
        Box::new(Self {
            head,
            body,
            upgrade: None,
            idle: None,
            attempt: None,
            cause: None,
            loss,
            timer: None,
        })
    }

    /// The reply of ambassador's own which tells the program of `error`.
    pub fn local(error: ProxyError) -> Box<Self> {
        let mut reply = Self::new(ResponseHead::Local(LocalReply::from(&error)), Body::empty());
        reply.cause = Some(error);
        reply
    }

    /// What follows is relayed, but the end of this reply is found, and told.
    pub fn is_pipelined(&self) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.pipelined.is_some())
    }

    /// The status; `None` if what came has none that can be read.
    pub fn status(&self) -> Option<u16> {
        match &self.head {
            ResponseHead::Http1(head) => Some(head.status()),
            ResponseHead::Unread(status) => *status,
            ResponseHead::Http2(parts) => Some(parts.status.as_u16()),
            ResponseHead::Local(reply) => Some(reply.status.as_u16()),
        }
    }

    /// The value of the first header line called `name`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        match &self.head {
            ResponseHead::Http1(head) => head.header(name),
            ResponseHead::Http2(parts) => http2_header(&parts.headers, name),
            ResponseHead::Local(_) | ResponseHead::Unread(_) => None,
        }
    }
}

/// The head of a reply.
pub enum ResponseHead {
    /// As it stood on the wire.
    Http1(Arc<head::ResponseHead>),
    /// None that could be read without a guess: its bytes are in the body or in the upgrade. With the status, if at
    /// least that is clear.
    Unread(Option<u16>),
    /// As it was decoded.
    Http2(Box<http::response::Parts>),
    /// A reply of ambassador's own, rendered by the protocol's arm.
    Local(LocalReply),
}

/// An upstream connection on which bytes are relayed from here on, for this flow alone.
pub struct Upgrade {
    /// The connection.
    pub upstream: TcpStream,
    /// What of the request is still to be sent, before anything else.
    pub unsent: bytes::Bytes,
    /// What of the reply is still to be written, before anything else: it has been read, and counted.
    pub unwritten: bytes::Bytes,
    /// What else the upstream has sent and the program has not got.
    pub received: bytes::Bytes,
    /// The connection's places among `maxConnections`.
    pub places: Vec<Permit>,
    /// What is under way on it, if further requests follow that one: they can be read along.
    pub pipelined: Option<Pipelined>,
}

/// The request that was under way when its program went on without waiting for the reply.
pub struct Pipelined {
    /// The request's head.
    pub head: Arc<head::RequestHead>,
    /// How far its reply has come.
    pub reply: ReplyAt,
}

/// How far a reply has come.
#[derive(Debug)]
pub enum ReplyAt {
    /// Its head is not complete, and nothing of it was taken.
    Head,
    /// Its body has begun, and ends where this says.
    Body(Delimiter),
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Upgrade").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

/// What an attempt was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptInfo {
    /// Where it was sent.
    pub endpoint: SocketAddr,
    /// Its connection had carried an earlier request.
    pub reused: bool,
    /// How long it waited for its connection; `None` if none was dialled for it.
    pub connect: Option<Duration>,
}
