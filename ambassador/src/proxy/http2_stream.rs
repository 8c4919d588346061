// SPDX-License-Identifier: Apache-2.0
//! One stream of a program's HTTP/2 connection: its request through the stack, and the reply back.
//!
//! Whichever side gives the stream up, the other one sees the same code. An upstream that fails fails the program's
//! stream, or its whole connection where the route promises to change nothing.

use std::{
    future::{pending, poll_fn},
    io,
    sync::Arc,
};

use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue};
use tokio::task::yield_now;

use crate::{
    http2::{
        ending::Wish,
        heads::Place,
        link::Link,
        pump::{Pump, Pumped},
        stream::{End, ProgramStream},
    },
    message::{
        Loss, Request, RequestHead, Response, ResponseHead, Stack,
        body::{Body, BodyError},
        error::ProxyError,
        flow::Flow,
        interim::InterimSink,
    },
    policy::classify::grpc,
};

/// A request that has begun to arrive.
pub(super) struct Arriving {
    pub(super) head: http::request::Parts,
    pub(super) body: RecvStream,
    /// What it may take; kept until its reply has ended.
    pub(super) place: Arc<Place>,
}

/// Serves one request to the end of its reply.
pub(super) async fn serve(
    request: Arriving,
    program: Arc<ProgramStream>,
    flow: Arc<Flow>,
    stack: Stack,
    link: Arc<Link>,
) {
    let Arriving { head, body, place } = request;
    let head = RequestHead::Http2(Arc::new(head));
    let interim = InterimSink::http2(Arc::clone(&program));
    let request = Request::new(head.clone(), Body::http2(body, Arc::clone(&place)), flow, interim);
    let mut call = stack.serve(request);
    let outcome = tokio::select! {
        biased;
        given_up = program.given_up() => match given_up {
            Ok(()) => return,
            Err(_) => return lost_with_connection().await,
        },
        outcome = call.as_mut() => outcome,
    };
    let stream = Stream { program, link, head, _place: place };
    match outcome {
        Ok(response) => stream.reply(response).await,
        Err(error) => stream.fail(&error).await,
    }
}

struct Stream {
    program: Arc<ProgramStream>,
    link: Arc<Link>,
    head: RequestHead,
    _place: Arc<Place>,
}

impl Stream {
    async fn reply(self, response: Box<Response>) {
        let loss = response.loss;
        let (head, body) = match response.head {
            ResponseHead::Http2(parts) => (http::Response::from_parts(*parts, ()), response.body),
            // The hooks of its (empty) body run when it is dropped here.
            ResponseHead::Local(reply) => {
                let (head, body) = reply.http2(&self.head);
                if !self.link.program_takes(head.headers()) {
                    return self.program.reset(reply.reset.unwrap_or(Reason::INTERNAL_ERROR));
                }
                (head, body)
            }
            ResponseHead::Http1(_) | ResponseHead::Unread(_) => {
                return self.program.reset(Reason::INTERNAL_ERROR);
            }
        };
        let ends = http_body::Body::is_end_stream(&body);
        let Ok(stream) = self.program.reply(head, if ends { End::Here } else { End::Later }) else { return };
        if !ends {
            self.relay(Pump::new(stream, body), loss).await;
        }
    }

    async fn relay(self, mut pump: Pump, loss: Loss) {
        match poll_fn(|cx| pump.poll(cx)).await {
            Pumped::Done => {}
            Pumped::Lost => lost_with_connection().await,
            // Noted before the body is dropped, which gives the upstream's stream up.
            Pumped::Refused(reason) => self.program.note(reason),
            Pumped::Cut(error) => {
                // A reset overtakes what still waits in its own stream: first let the connection write it.
                yield_now().await;
                if loss == Loss::Connection
                    && let Some(wish) = lost(&error)
                {
                    return self.end_with(wish).await;
                }
                self.cut(&mut pump, &error);
            }
        }
    }

    /// Ends a reply that was cut; never as if it were complete.
    fn cut(&self, pump: &mut Pump, error: &BodyError) {
        // What waits for credit would stay before the trailers.
        if self.head.is_grpc()
            && !pump.is_stalled()
            && let Some(status) = grpc_status(error)
            && pump.trailers(trailers(status, error)).is_ok()
        {
            return;
        }
        pump.reset(match error {
            BodyError::Stream(error) => error.reason().unwrap_or(Reason::INTERNAL_ERROR),
            BodyError::Overdue => Reason::CANCEL,
            _ => Reason::INTERNAL_ERROR,
        });
    }

    /// Ends the whole connection; this stream must not say anything before.
    async fn end_with(&self, wish: Wish) {
        self.link.ending.ask(wish);
        pending::<()>().await;
    }

    /// Ends a stream because no layer made a reply of its failure.
    async fn fail(&self, error: &ProxyError) {
        let reason = match error {
            // Without a proxy there would be no connection at all, if there never was one.
            ProxyError::Connect(_) if !self.link.was_connected() => return self.end_with(Wish::Reset).await,
            ProxyError::Disconnected { source, .. } => return self.end_with(wish_of(source)).await,
            // It comes too late for an upstream that goes: others may still be served.
            ProxyError::Connect(_) | ProxyError::RefusedStream(_) | ProxyError::GoneAway(_) => {
                Reason::REFUSED_STREAM
            }
            ProxyError::Http2(error) => error.reason().unwrap_or(Reason::INTERNAL_ERROR),
            _ => Reason::INTERNAL_ERROR,
        };
        self.program.reset(reason);
    }
}

/// What a stream whose connection is gone waits for: to be dropped with it. By itself the program has not given it up, and
/// the upstream is told of the connection's end.
async fn lost_with_connection() {
    pending::<()>().await;
}

/// How the program's connection ends with its upstream's, if that is what was lost.
fn lost(error: &BodyError) -> Option<Wish> {
    match error {
        BodyError::Reset(source) => Some(wish_of(source)),
        BodyError::Truncated => Some(Wish::Close),
        BodyError::Malformed(_) | BodyError::Unread(_) | BodyError::Stream(_) | BodyError::Overdue => None,
    }
}

fn wish_of(source: &io::Error) -> Wish {
    if source.kind() == io::ErrorKind::UnexpectedEof { Wish::Close } else { Wish::Reset }
}

/// The gRPC status of a reply that ambassador had to cut; `None` if it was the upstream who reset it.
fn grpc_status(error: &BodyError) -> Option<u16> {
    match error {
        BodyError::Overdue => Some(grpc::DEADLINE_EXCEEDED),
        BodyError::Reset(_) | BodyError::Truncated => Some(grpc::UNAVAILABLE),
        BodyError::Malformed(_) | BodyError::Unread(_) | BodyError::Stream(_) => None,
    }
}

fn trailers(status: u16, error: &BodyError) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(status));
    if let Ok(message) = HeaderValue::try_from(format!("ambassador: {error}")) {
        trailers.insert("grpc-message", message);
    }
    trailers
}
