// SPDX-License-Identifier: Apache-2.0
//! An upstream that plays a list of outcomes.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use crate::{
    http1::head,
    message::{
        Request, Response, ResponseHead,
        body::{Body, BodyError, BodySource},
        error::{ProxyError, Sent},
        stage::{Outcome, Serve},
    },
};

/// What the upstream does with one attempt.
pub(super) enum Play {
    /// Answers with this status and a body that ends when it is dropped.
    Status(u16),
    /// Ends a connection that has carried a request before.
    Stale,
    /// Ends a fresh connection.
    Reset,
    /// Answers 200 with this `grpc-status` in the trailers.
    Grpc(&'static str),
    /// Answers 200 with a body that never ends.
    Endless,
    /// Answers 200 with a body that is cut.
    Cut,
    /// Never answers.
    Silence,
}

/// Plays a list and keeps where each attempt was sent.
pub(super) struct Mock {
    pub(super) plays: Mutex<VecDeque<Play>>,
    pub(super) seen: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Serve for Mock {
    async fn serve(&self, request: Box<Request>) -> Outcome {
        self.seen.lock().expect("no panic").push(request.destination());
        let play = self.plays.lock().expect("no panic").pop_front().expect("no more attempts");
        let disconnected = |reused| ProxyError::Disconnected {
            reused,
            sent: Sent::Fully,
            replied: false,
            source: io::ErrorKind::ConnectionReset.into(),
        };
        match play {
            Play::Silence => std::future::pending().await,
            Play::Grpc(status) => {
                let (parts, ()) = http::Response::new(()).into_parts();
                Ok(Response::new(ResponseHead::Http2(Box::new(parts)), Body::source(Trailers(Some(status)))))
            }
            Play::Cut => {
                let (parts, ()) = http::Response::new(()).into_parts();
                Ok(Response::new(ResponseHead::Http2(Box::new(parts)), Body::source(Cut)))
            }
            Play::Endless => {
                let (parts, ()) = http::Response::new(()).into_parts();
                Ok(Response::new(ResponseHead::Http2(Box::new(parts)), Body::source(Endless)))
            }
            Play::Status(status) => {
                let wire = format!("HTTP/1.1 {status} X\r\ncontent-length: 1\r\n\r\n");
                let head = head::ResponseHead::parse(wire.as_bytes(), "GET").expect("a head").expect("whole");
                Ok(Response::new(ResponseHead::Http1(Arc::new(head)), Body::whole(Bytes::from_static(b"x"))))
            }
            Play::Stale => Err(disconnected(true)),
            Play::Reset => Err(disconnected(false)),
        }
    }
}

/// A body of nothing but trailers.
struct Trailers(Option<&'static str>);

impl BodySource for Trailers {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.take().map(|status| {
            let status = HeaderValue::from_static(status);
            Ok(Frame::trailers(HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), status)])))
        }))
    }

    fn is_ended(&self) -> bool {
        self.0.is_none()
    }
}

/// A body that is cut.
struct Cut;

impl BodySource for Cut {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Err(BodyError::Truncated)))
    }

    fn is_ended(&self) -> bool {
        false
    }
}

/// A body that never ends.
struct Endless;

impl BodySource for Endless {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Pending
    }

    fn is_ended(&self) -> bool {
        false
    }
}
