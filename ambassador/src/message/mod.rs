// SPDX-License-Identifier: Apache-2.0
//! Requests and replies as the stack of layers sees them, whatever version of HTTP carries them.
//!
//! Layers read labels and set where and how long to try; heads and bodies pass through untouched. A request's head
//! is cheap to clone, because an attempt that failed is followed by another.

pub mod ahead;
pub mod flow;
pub mod plan;
pub mod stage;
mod response;
pub mod progress;
mod end_hooks;
pub mod body;
pub mod replay;
pub mod local;
pub mod interim;
pub mod error;
pub(crate) mod facts;

pub use response::{AttemptInfo, Loss, Pipelined, ReplyAt, Response, ResponseHead, Upgrade};

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use http::header::HeaderName;
use tokio::time::{Instant, Sleep};

use self::{body::Body, flow::Flow, interim::InterimSink, plan::Plan, progress::Progress};
use crate::{clock, http1::head, policy::clock::Now, upstream::admission::Permits};

/// The stack of layers, or any stage of it.
pub type Stack = self::stage::Stage;

/// A timer of the runtime.
pub type Timer = Pin<Box<Sleep>>;

/// One request of a program, or one attempt of it.
pub struct Request {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: Body,
    /// The connection that it came by.
    pub flow: Arc<Flow>,
    /// Where interim replies go.
    pub interim: InterimSink,
    /// When its head was complete.
    pub arrived: Instant,
    /// The present, for whoever has not waited since: read once when it arrives, and again after each wait.
    pub resumed: Instant,
    /// The same in the unit of policy.
    pub now: Now,
    /// Where to send it; the flow's original destination if `None`.
    pub endpoint: Option<SocketAddr>,
    /// How long a dial may take.
    pub connect_timeout: Duration,
    /// How long its connection is kept for other flows when its own has ended; `None`: it ends with its flow.
    pub keep_idle: Option<Duration>,
    /// Whether a connection that has carried a request may carry this one.
    pub reuse: Reuse,
    /// What was decided when it was matched to its route; `None` before that.
    pub plan: Option<Arc<Plan>>,
    /// The circuit breakers' permits for its first attempt.
    pub permits: Option<Permits>,
    /// How much of it has been sent.
    pub progress: Progress,
    /// It has gone out already and was replied to, on a connection that is relayed while it is read along.
    pub replied: Option<Box<Response>>,
    /// A timer that an earlier request of its flow has left: setting one up costs more than watching it.
    pub timer: Option<Timer>,
}

/// Whether a request may go out on a connection that has carried another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It may, where that is safe.
    Allowed,
    /// Only a fresh connection will do: a reused one has just turned out to be stale.
    Forbidden,
}

impl Request {
    /// A request with the defaults of a flow without policy.
    pub fn new(head: RequestHead, body: Body, flow: Arc<Flow>, interim: InterimSink) -> Box<Self> {
        let arrived = Instant::now();
        Box::new(Self {
            head,
            body,
            flow,
            interim,
            arrived,
            resumed: arrived,
            now: clock::at(arrived),
            endpoint: None,
            connect_timeout: Duration::from_secs(10),
            keep_idle: None,
            reuse: Reuse::Allowed,
            plan: None,
            permits: None,
            progress: Progress::default(),
            replied: None,
            timer: None,
        })
    }

    /// The request of `plan` for a further attempt, with `body`, which is its body from the start, and no permits yet.
    pub fn again(plan: &Arc<Plan>, body: Body, interim: InterimSink) -> Box<Self> {
        let mut request = Self::new(plan.head.clone(), body, Arc::clone(&plan.flow), interim);
        request.arrived = plan.arrived;
        request.plan = Some(Arc::clone(plan));
        request
    }

    /// Where this request is sent.
    pub fn destination(&self) -> SocketAddr {
        self.endpoint.unwrap_or(self.flow.original_dst)
    }

    /// Notes that it has waited until now.
    pub fn resume(&mut self) {
        self.resumed = Instant::now();
        self.now = clock::at(self.resumed);
    }
}

/// The head of a request.
#[derive(Clone)]
pub enum RequestHead {
    /// As it stood on the wire.
    Http1(Arc<head::RequestHead>),
    /// As it was decoded.
    Http2(Arc<http::request::Parts>),
}

impl RequestHead {
    /// The method, as it was written.
    pub fn method(&self) -> &str {
        match self {
            Self::Http1(head) => head.method(),
            Self::Http2(parts) => parts.method.as_str(),
        }
    }

    /// `Host`, `:authority` or the authority of an absolute target, with its port. Without the user that it may name:
    /// a password must not come to a log, nor a name before an `@` to a route.
    pub fn authority(&self) -> Option<&str> {
        let parts = match self {
            Self::Http1(head) => return head.authority(),
            Self::Http2(parts) => parts,
        };
        let authority = match parts.uri.authority() {
            Some(authority) => authority.as_str(),
            None => parts.headers.get(http::header::HOST)?.to_str().ok()?,
        };
        Some(without_user(authority))
    }

    /// The host of the authority: no port, no brackets around an IPv6 address.
    pub fn host(&self) -> Option<&str> {
        let host = self.authority()?;
        Some(match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        })
    }

    /// The path and query of the target.
    pub fn path(&self) -> &str {
        match self {
            Self::Http1(head) => head.path(),
            Self::Http2(parts) => parts.uri.path_and_query().map_or("", |path| path.as_str()),
        }
    }

    /// The value of the first header line called `name`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Http1(head) => head.header(name),
            Self::Http2(parts) => http2_header(&parts.headers, name),
        }
    }

    /// The request asks to change the protocol of its connection, or for a tunnel.
    pub fn is_upgrade(&self) -> bool {
        match self {
            Self::Http1(head) => head.is_upgrade(),
            Self::Http2(parts) => parts.method == http::Method::CONNECT,
        }
    }

    /// Its connection authenticates a user (NTLM, Negotiate). These are no schemes of HTTP/2.
    pub fn is_bound(&self) -> bool {
        matches!(self, Self::Http1(head) if head.is_bound())
    }

    /// A tunnel in an HTTP/2 stream has no end that belongs to its request. (In HTTP/1 the tunnel is no reply's body.)
    pub fn is_endless(&self) -> bool {
        matches!(self, Self::Http2(_)) && self.is_upgrade()
    }

    /// A gRPC call.
    pub fn is_grpc(&self) -> bool {
        self.header("content-type").is_some_and(|value| value.starts_with(b"application/grpc"))
    }
}

/// An authority without the user that it may name.
pub(crate) fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn http2_header<'h>(headers: &'h http::HeaderMap, name: &str) -> Option<&'h [u8]> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    headers.get(name).map(http::HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_known_without_its_user() {
        let http1 = |head: &[u8]| {
            let head = head::RequestHead::parse(head).expect("a good head").expect("a whole head");
            RequestHead::Http1(Arc::new(head))
        };
        let http2 = |uri: &str| {
            let (parts, ()) = http::Request::builder().uri(uri).body(()).expect("request").into_parts();
            RequestHead::Http2(Arc::new(parts))
        };
        for head in [
            http1(b"GET / HTTP/1.1\r\nHost: me:secret@api.example:80\r\n\r\n"),
            http1(b"GET http://me:secret@api.example:80/ HTTP/1.1\r\nHost: other\r\n\r\n"),
            http2("http://me:secret@api.example:80/"),
        ] {
            assert_eq!((head.authority(), head.host()), (Some("api.example:80"), Some("api.example")));
        }
        // What a tunnel is asked for is its path, too, which is logged.
        let tunnel = http1(b"CONNECT me:secret@api.example:443 HTTP/1.1\r\n\r\n");
        assert_eq!((tunnel.authority(), tunnel.path()), (Some("api.example:443"), "api.example:443"));
    }
}
