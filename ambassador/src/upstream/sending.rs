// SPDX-License-Identifier: Apache-2.0
//! A request on its way out, while its reply is already read.
//!
//! What the program cuts is cut for the origin, and what it ends is ended; a request must never end as a whole that was
//! not one. It tells how much of it was sent, because that decides whether it may be sent again.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use tokio::net::TcpStream;

use super::lease::Lease;
use crate::{
    http1::{
        head::RequestHead,
        wire::{self, Follows},
    },
    message::{
        Upgrade,
        body::{Body, BodyError},
        error::Sent,
        interim::InterimSink,
        progress::Progress,
    },
};

/// A request on its way out.
pub(super) struct Sending {
    written: usize,
    chunk: Bytes,
    /// `None`: there is none, as most requests have. Boxed, because the exchange is moved about.
    body: Option<Box<Body>>,
    state: SendState,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendState {
    Sending,
    /// The program ended its side: nothing more goes out than what is at hand, and its FIN.
    Cutting,
    Sent,
    /// The program's FIN was passed on after the request.
    HalfClosed,
    /// The program's FIN was passed on in the middle of the request.
    Cut,
    /// The upstream takes no more; what it has replied is still read.
    Refused,
}

impl Sending {
    /// A request of which nothing is sent yet.
    pub(super) fn new(body: Body, progress: Progress) -> Self {
        let body = if body.is_end_stream() { None } else { Some(Box::new(body)) };
        Self { written: 0, chunk: Bytes::new(), body, state: SendState::Sending, progress }
    }

    /// Goes on sending; fails only when the body itself does.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        head: &[u8],
        interim: &InterimSink,
    ) -> Poll<Result<(), BodyError>> {
        while !self.is_over() {
            let taken = if self.chunk.is_empty() { self.take(cx) } else { Ok(Poll::Ready(())) };
            let body_waits = match taken {
                Ok(taken) => taken.is_pending(),
                Err(BodyError::Truncated) => {
                    // What the origin says to that is still read, as the program may.
                    self.state = SendState::Cutting;
                    false
                }
                Err(error) => return Poll::Ready(Err(error)),
            };
            if self.written == head.len() && self.chunk.is_empty() {
                if body_waits {
                    return Poll::Pending;
                }
                self.settle(stream);
                continue;
            }
            let written =
                wire::poll_write(stream, cx, head, &mut self.written, &mut self.chunk, Follows::Bytes);
            self.progress.note(self.sent());
            match ready!(written) {
                Ok(()) => self.settle(stream),
                Err(_) => self.state = SendState::Refused,
            }
        }
        if self.state == SendState::Sent && interim.has_passed_end() {
            wire::shutdown_write(stream);
            self.state = SendState::HalfClosed;
        }
        if matches!(self.state, SendState::HalfClosed | SendState::Cut | SendState::Refused)
            && interim.has_passed_end()
        {
            interim.note_passed_end();
        }
        Poll::Ready(Ok(()))
    }

    /// All of the request was sent, and more may follow on the same connection.
    pub(super) fn is_sent(&self) -> bool {
        self.state == SendState::Sent
    }

    /// The program ended its side in the middle of the request.
    pub(super) fn is_cut(&self) -> bool {
        self.state == SendState::Cut
    }

    /// The upstream has reset its connection in the middle of the request.
    pub(super) fn is_refused(&self) -> bool {
        self.state == SendState::Refused
    }

    /// Nothing more will be sent.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.state, SendState::Sending | SendState::Cutting)
    }

    pub(super) fn sent(&self) -> Sent {
        match self.state {
            SendState::Sent | SendState::HalfClosed => Sent::Fully,
            _ if self.written == 0 => Sent::Nothing,
            _ => Sent::Partly,
        }
    }

    /// Gives up sending: `connection` is relayed as it is from here on, what is left of this request first.
    ///
    /// A body that is still read hands back to its flow what it has read and not sent.
    pub(super) fn into_upgrade(self, connection: Lease, head: &RequestHead, received: Bytes) -> Upgrade {
        let connection = connection.release();
        let mut unsent = BytesMut::from(&head.raw()[self.written..]);
        unsent.extend_from_slice(&self.chunk);
        Upgrade {
            upstream: connection.stream,
            unsent: unsent.freeze(),
            unwritten: Bytes::new(),
            received,
            places: connection.places,
            pipelined: None,
        }
    }

    /// Everything at hand has been written: that may have been all.
    fn settle(&mut self, stream: &TcpStream) {
        if self.state == SendState::Cutting {
            wire::shutdown_write(stream);
            self.state = SendState::Cut;
        } else if self.body.as_deref().is_none_or(http_body::Body::is_end_stream) {
            self.state = SendState::Sent;
            self.progress.note(Sent::Fully);
        }
    }

    fn take(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, BodyError> {
        let Some(body) = self.body.as_mut().filter(|body| !body.is_end_stream()) else {
            return Ok(Poll::Ready(()));
        };
        match Pin::new(&mut **body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Some(frame)) => self.chunk = frame?.into_data().unwrap_or_default(),
            Poll::Ready(None) => {}
        }
        Ok(Poll::Ready(()))
    }
}
