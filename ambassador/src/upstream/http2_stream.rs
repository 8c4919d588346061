// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 exchange: a stream of an upstream connection.
//!
//! The request's body is sent while the reply is awaited and read, by whoever reads it; nothing is spawned. An exchange
//! that is dropped is reset, with the code of the program if it was the program who gave it up.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http_body::Frame;

use super::{http2::Multiplexed, unattended};
use crate::{
    http2::{
        incoming::Incoming,
        pump::{Pump, Pumped},
    },
    message::{
        Response, ResponseHead,
        body::{Body, BodyError, BodySource},
        interim::InterimSink,
    },
};

/// A request under way, its reply's head awaited.
pub(super) struct Exchange {
    reply: ResponseFuture,
    upload: Upload,
    interims: u32,
}

/// A stream that failed before the head of its reply.
pub(super) struct Failed {
    pub(super) error: h2::Error,
    /// An interim reply had come.
    pub(super) replied: bool,
}

impl Exchange {
    pub(super) fn new(
        reply: ResponseFuture,
        stream: SendStream<Bytes>,
        body: Body,
        interim: InterimSink,
        connection: Multiplexed,
    ) -> Self {
        let state = if body.is_empty() { Sending::Sent } else { Sending::Going };
        let upload = Upload { pump: Some(Pump::new(stream, body)), state, interim, connection };
        Self { reply, upload, interims: 0 }
    }

    /// Waits for the head of the reply while sending the request.
    pub(super) async fn reply(mut self) -> Result<Box<Response>, Failed> {
        let reply = poll_fn(|cx| self.poll_reply(cx)).await;
        let (head, incoming) = match reply {
            Ok(reply) => reply.into_parts(),
            Err(error) => return Err(Failed { error, replied: self.interims > 0 }),
        };
        let incoming = Incoming::new(incoming);
        let body = Body::source(Download { incoming, upload: self.upload });
        Ok(Response::new(ResponseHead::Http2(Box::new(head)), body))
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<http::Response<RecvStream>, h2::Error>> {
        while let Poll::Ready(Some(Ok(head))) = self.reply.poll_informational(cx) {
            self.interims += 1;
            if self.interims > INTERIM_MAX {
                return Poll::Ready(Err(Reason::ENHANCE_YOUR_CALM.into()));
            }
            // A program that is gone is noticed by its own end of the stream.
            let _ = self.upload.interim.send_http2(head);
        }
        // The reply first: an early one must not wait for the upload.
        if let Poll::Ready(reply) = Pin::new(&mut self.reply).poll(cx) {
            return Poll::Ready(reply);
        }
        self.upload.poll(cx);
        Poll::Pending
    }
}

/// The body of the request on its way. Dropping it resets its stream.
struct Upload {
    /// Gone when the stream must not be reset any more: that would take back what is not written yet.
    pump: Option<Pump>,
    state: Sending,
    interim: InterimSink,
    /// Its pool may have forgotten it (GOAWAY), but it must last as long as its streams.
    connection: Multiplexed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Going,
    /// To its end.
    Sent,
    /// Its upstream wants no more of it, or it was cut.
    Stopped,
}

impl Upload {
    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(pump) = self.pump.as_mut().filter(|_| self.state == Sending::Going) else { return };
        let Poll::Ready(pumped) = pump.poll(cx) else { return };
        self.state = match pumped {
            Pumped::Done => Sending::Sent,
            // The reply tells why.
            Pumped::Refused(_) | Pumped::Lost => Sending::Stopped,
            Pumped::Cut(error) => {
                pump.reset(reset_reason(&error).unwrap_or_else(|| self.interim.reset_reason()));
                Sending::Stopped
            }
        };
        pump.stop();
    }

    /// Takes over the stream of a complete reply.
    fn take(&mut self) -> Self {
        Self {
            pump: self.pump.take(),
            state: self.state,
            interim: self.interim.clone(),
            connection: self.connection.clone(),
        }
    }

    /// Sends the rest of a body whose reply is complete already.
    async fn rest(mut self) {
        poll_fn(|cx| {
            self.poll(cx);
            if self.state == Sending::Going { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.pump = None;
    }
}

/// The code with which the program has reset the stream of its request.
fn reset_reason(error: &BodyError) -> Option<Reason> {
    match error {
        BodyError::Stream(error) => error.reason(),
        _ => None,
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(pump) = &mut self.pump {
            pump.reset(self.interim.reset_reason());
        }
    }
}

/// The reply's body, and what is left of the request's.
struct Download {
    incoming: Incoming,
    upload: Upload,
}

impl BodySource for Download {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.upload.poll(cx);
        let next = ready!(self.incoming.poll_frame(cx));
        Poll::Ready(next)
    }

    fn is_ended(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        self.upload.poll(cx);
        Poll::Pending
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.incoming.is_end_stream() {
            return;
        }
        // A reply may be complete before its request is (RFC 9113 §8.1). The rest ends with either stream.
        let mut rest = self.upload.take();
        match rest.state {
            Sending::Going => unattended::spawn(rest.rest()),
            Sending::Sent | Sending::Stopped => rest.pump = None,
        }
    }
}

/// The most interim replies to one request.
const INTERIM_MAX: u32 = 64;
