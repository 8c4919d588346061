// SPDX-License-Identifier: Apache-2.0
//! Hands a body on to an HTTP/2 stream, at the pace at which its receiver gives credit.
//!
//! One piece is held while credit is awaited, so that the end, the trailers or the cut of a body are seen although its
//! receiver takes no data. The boundaries of DATA frames are kept; nothing is gathered.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;

use crate::message::body::{Body, BodyError};

/// A body on its way to a stream.
pub(crate) struct Pump {
    stream: SendStream<Bytes>,
    body: Body,
    piece: Option<Bytes>,
}

/// How the way of a body ended.
pub(crate) enum Pumped {
    /// All of it was handed on, its end included.
    Done,
    /// The receiver has reset the stream.
    Refused(Reason),
    /// The receiver's connection is gone.
    Lost,
    /// The body was cut.
    Cut(BodyError),
}

impl Pump {
    pub(crate) fn new(stream: SendStream<Bytes>, body: Body) -> Self {
        Self { stream, body, piece: None }
    }

    /// Hands on what can be; `Ready` when nothing is left to do.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Pumped> {
        match self.stream.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => return Poll::Ready(Pumped::Refused(reason)),
            Poll::Ready(Err(_)) => return Poll::Ready(Pumped::Lost),
            Poll::Pending => {}
        }
        loop {
            if self.piece.is_some() {
                match self.poll_credit(cx) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(Pumped::Lost),
                    Poll::Pending => return self.body.drive(cx).map(Pumped::Cut),
                }
                let piece = self.piece.take().unwrap_or_default();
                let end = self.body.is_end_stream();
                match self.stream.send_data(piece, end) {
                    Ok(()) if end => return Poll::Ready(Pumped::Done),
                    Ok(()) => {}
                    Err(_) => return Poll::Ready(Pumped::Lost),
                }
            }
            let sent = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => {
                        // An empty frame that ends nothing carries nothing.
                        self.piece = Some(piece).filter(|piece| !piece.is_empty());
                        if self.piece.is_none() && self.body.is_end_stream() {
                            self.stream.send_data(Bytes::new(), true)
                        } else {
                            continue;
                        }
                    }
                    Err(frame) => self.trailers(frame.into_trailers().unwrap_or_default()),
                },
                Some(Err(error)) => return Poll::Ready(Pumped::Cut(error)),
                None => self.stream.send_data(Bytes::new(), true),
            };
            return Poll::Ready(if sent.is_ok() { Pumped::Done } else { Pumped::Lost });
        }
    }

    /// The receiver takes no more data at present.
    pub(crate) fn is_stalled(&self) -> bool {
        self.piece.is_some()
    }

    /// Ends the stream with trailers.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) -> Result<(), h2::Error> {
        // Credit that was asked for is not needed any more.
        self.stream.reserve_capacity(0);
        self.stream.send_trailers(trailers)
    }

    /// Resets the stream, unless it has ended.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Lets go of the body.
    pub(crate) fn stop(&mut self) {
        self.piece = None;
        self.body = Body::empty();
    }

    /// Waits for credit; `false` if the stream takes no more.
    fn poll_credit(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }
}
