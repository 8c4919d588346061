// SPDX-License-Identifier: Apache-2.0
//! A reply that ambassador makes itself, in the words of each protocol.
//!
//! Programs tell it from an origin's reply by `x-ambassador-error`. It must never carry request bytes.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderValue, StatusCode, header};

use super::{RequestHead, body::Body, error::ProxyError};
use crate::policy::classify::grpc;

/// A reply that ambassador makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The status.
    pub status: StatusCode,
    /// The value of `x-ambassador-error`, one of a closed set.
    pub code: &'static str,
    /// When another request may succeed.
    pub retry_after: Option<Duration>,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// The code with which the upstream's stream of HTTP/2 failed.
    pub reset: Option<Reason>,
}

impl From<&ProxyError> for LocalReply {
    fn from(error: &ProxyError) -> Self {
        let retry_after = match error {
            ProxyError::CircuitOpen { retry_after } => Some(*retry_after),
            _ => None,
        };
        Self {
            status: error.status(),
            code: error.code(),
            retry_after,
            message: Cow::Owned(error.to_string()),
            reset: error.reset(),
        }
    }
}

/// What follows a local reply on an HTTP/1 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Further requests.
    KeepAlive,
    /// The end of the connection.
    Close,
}

impl LocalReply {
    /// The reply to a request that could not be understood.
    pub fn refusal(status: StatusCode, message: &'static str) -> Self {
        Self { status, code: "malformed", retry_after: None, message: Cow::Borrowed(message), reset: None }
    }

    /// The bytes of this reply in HTTP/1.1; a reply to HEAD has no body.
    pub fn http1(&self, method: &str, then: Then) -> Bytes {
        let body = self.text();
        let mut reply = String::with_capacity(256);
        // Writing to a String cannot fail.
        let _ = write!(
            reply,
            "HTTP/1.1 {} {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nx-ambassador-error: {}\r\n",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or_default(),
            body.len(),
            self.code,
        );
        if let Some(seconds) = self.retry_after_seconds() {
            let _ = write!(reply, "retry-after: {seconds}\r\n");
        }
        if then == Then::Close {
            reply.push_str("connection: close\r\n");
        }
        reply.push_str("\r\n");
        if method != "HEAD" {
            reply.push_str(&body);
        }
        reply.into()
    }

    /// This reply to `request` in HTTP/2; to a gRPC request as trailers-only, with status 200 (gRPC over HTTP/2,
    /// *Responses*); to HEAD without a body.
    pub fn http2(&self, request: &RequestHead) -> (http::Response<()>, Body) {
        let mut reply = http::Response::new(());
        let mut body = Body::empty();
        if request.is_grpc() {
            let message =
                HeaderValue::try_from(self.message.as_ref()).unwrap_or(HeaderValue::from_static(self.code));
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            reply.headers_mut().insert("grpc-status", HeaderValue::from(self.grpc_status()));
            reply.headers_mut().insert("grpc-message", message);
        } else {
            let text = self.text();
            *reply.status_mut() = self.status;
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            reply.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
            if request.method() != "HEAD" {
                body = Body::whole(text.into());
            }
        }
        reply.headers_mut().insert("x-ambassador-error", HeaderValue::from_static(self.code));
        if let Some(seconds) = self.retry_after_seconds() {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        (reply, body)
    }

    /// The gRPC status which stands for this reply (`google.rpc.Code`). Of a reset it is the one that the program would
    /// have made of it.
    pub fn grpc_status(&self) -> u16 {
        match (self.reset, self.code, self.status) {
            (Some(reason), ..) => grpc_of(reason),
            (_, "overflow" | "rate-limited", _) => grpc::RESOURCE_EXHAUSTED,
            (.., StatusCode::GATEWAY_TIMEOUT) => grpc::DEADLINE_EXCEEDED,
            (.., StatusCode::FORBIDDEN) => grpc::PERMISSION_DENIED,
            (.., StatusCode::BAD_REQUEST) => grpc::INTERNAL,
            _ => grpc::UNAVAILABLE,
        }
    }

    fn text(&self) -> String {
        format!("ambassador: {}\n", self.message)
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        // Rounded up: a client that comes back at this second must not be refused again.
        self.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

/// What gRPC makes of the code of a reset (gRPC over HTTP/2, *Errors*).
fn grpc_of(reason: Reason) -> u16 {
    match reason {
        Reason::REFUSED_STREAM => grpc::UNAVAILABLE,
        Reason::CANCEL => grpc::CANCELLED,
        Reason::ENHANCE_YOUR_CALM => grpc::RESOURCE_EXHAUSTED,
        Reason::INADEQUATE_SECURITY => grpc::PERMISSION_DENIED,
        _ => grpc::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_circuit_says_when_to_come_back() {
        let reply = LocalReply::from(&ProxyError::CircuitOpen { retry_after: Duration::from_millis(2500) });
        assert_eq!(
            reply.http1("GET", Then::KeepAlive),
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 53\r\n\
             x-ambassador-error: circuit-open\r\nretry-after: 3\r\n\r\n\
             ambassador: the circuit breaker is open for another 2.5s\n"
                .replace("53", "57")
        );
        assert!(reply.http1("HEAD", Then::Close).ends_with(b"connection: close\r\n\r\n"));
    }

    #[test]
    fn grpc_is_answered_by_trailers_only() {
        let request = http2_request("POST", "application/grpc+proto");
        let (reply, body) = LocalReply::from(&ProxyError::Overflow { limit: "maxRequests" }).http2(&request);
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.headers()["content-type"], "application/grpc");
        assert_eq!(reply.headers()["grpc-status"], "8");
        assert!(body.is_empty());
    }

    #[test]
    fn head_is_answered_without_a_body() {
        let (reply, body) = LocalReply::from(&ProxyError::Denied).http2(&http2_request("HEAD", "text/plain"));
        assert_eq!(reply.status(), StatusCode::FORBIDDEN);
        assert!(body.is_empty());
    }

    fn http2_request(method: &str, content_type: &str) -> RequestHead {
        let request = http::Request::builder().method(method).header("content-type", content_type);
        let (parts, ()) = request.body(()).expect("request").into_parts();
        RequestHead::Http2(std::sync::Arc::new(parts))
    }
}
