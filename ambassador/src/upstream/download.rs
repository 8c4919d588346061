// SPDX-License-Identifier: Apache-2.0
//! The body of an HTTP/1 reply while it arrives, and the rest of the request that is still going out.
//!
//! Its connection goes back to the pool only when nothing is left on either side; dropped earlier, it closes.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::time::Instant;

use super::{lease::Lease, pool, sending::Sending};
use crate::{
    http1::{
        framing::Delimiter,
        head::{RequestHead, ResponseHead},
        wire::{self, Behind},
    },
    message::{
        Pipelined, ReplyAt,
        body::{Body, BodyError, BodySource},
        progress::Progress,
    },
};

/// A reply's head, and what came with it.
pub(super) struct Received {
    pub(super) head: Arc<ResponseHead>,
    pub(super) rest: Bytes,
}

/// The body of a reply.
pub(super) struct Download {
    /// Given away when the exchange is over.
    connection: Option<Lease>,
    sending: Sending,
    head: Arc<RequestHead>,
    begun: Bytes,
    buffer: BytesMut,
    delimiter: Delimiter,
    reusable: bool,
}

impl Download {
    pub(super) fn new(
        connection: Lease,
        sending: Sending,
        head: Arc<RequestHead>,
        delimiter: Delimiter,
        reusable: bool,
    ) -> Self {
        let connection = Some(connection);
        let (begun, buffer) = (Bytes::new(), BytesMut::new());
        Self { connection, sending, head, begun, buffer, delimiter, reusable }
    }

    /// Yields `begun` first, which has passed the delimiter already; `beyond` has come after the end.
    pub(super) fn begin_with(&mut self, begun: Bytes, beyond: BytesMut) {
        self.begun = begun;
        self.buffer = beyond;
    }

    /// If the exchange is over, gives up its connection: to the pool when it is fit for another request.
    fn try_finish(&mut self) -> bool {
        if !self.delimiter.is_done() || !self.sending.is_over() {
            return false;
        }
        if let Some(connection) = self.connection.take() {
            conclude(connection, &self.sending, self.reusable, Instant::now());
        }
        true
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match &self.connection {
            Some(connection) => {
                self.sending.poll(cx, &connection.stream, self.head.raw(), connection.program())
            }
            None => Poll::Ready(Ok(())),
        }
    }

    /// The reply is complete but the request is not: goes on as the program would, until the origin ends. `Err` when
    /// something comes from it instead.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Bytes>> {
        if self.try_finish() {
            return Poll::Ready(Ok(()));
        }
        let Some(connection) = &self.connection else { return Poll::Ready(Ok(())) };
        if !self.buffer.is_empty() {
            // It came together with the end of the reply.
            return Poll::Ready(Err(std::mem::take(&mut self.buffer).freeze()));
        }
        let read = ready!(wire::poll_read(&connection.stream, cx, |bytes| {
            (Bytes::copy_from_slice(bytes), Behind::More)
        }));
        Poll::Ready(match read {
            Ok(more) if !more.is_empty() => Err(more),
            Ok(_) => Ok(()),
            Err(_) => {
                connection.program().cut_off();
                Ok(())
            }
        })
    }

    /// What comes cannot be read without a guess: from here on the connection is relayed as it is.
    fn unread(&mut self, received: Bytes) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.relay(received, Reading::Over)
    }

    /// From here on the connection is relayed as it is.
    fn relay(&mut self, received: Bytes, reading: Reading) -> Option<Result<Frame<Bytes>, BodyError>> {
        let sending = std::mem::replace(&mut self.sending, Sending::new(Body::empty(), Progress::default()));
        let connection = self.connection.take()?;
        let mut upgrade = sending.into_upgrade(connection, &self.head, received);
        if reading == Reading::Along {
            let delimiter = std::mem::replace(&mut self.delimiter, Delimiter::Length(0));
            let (head, reply) = (Arc::clone(&self.head), ReplyAt::Body(delimiter));
            upgrade.pipelined = Some(Pipelined { head, reply });
        }
        Some(Err(BodyError::Unread(Box::new(upgrade))))
    }
}

/// Whether what is relayed can still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It can: further requests and replies follow.
    Along,
    /// Nobody but the two ends knows what it is.
    Over,
}

/// Gives up the connection of an exchange that is over at `now`: to the pool when it is fit for another request.
pub(super) fn conclude(connection: Lease, sending: &Sending, reusable: bool, now: Instant) {
    if reusable && sending.is_sent() {
        pool::give_back(connection.release(), now);
    } else if sending.is_refused() {
        connection.program().cut_off();
    } else if !reusable {
        connection.program().spend();
    }
}

impl BodySource for Download {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let sent = self.send(cx);
        if !self.begun.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.begun)))));
        }
        if self.delimiter.is_done() {
            if !matches!(sent, Poll::Ready(Err(_)))
                && let Err(more) = ready!(self.poll_end(cx))
            {
                return Poll::Ready(self.unread(more));
            }
            self.connection = None;
            return Poll::Ready(None);
        }
        if let Poll::Ready(Err(error)) = sent {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(connection) = &self.connection else { return Poll::Ready(None) };
        let program = connection.program();
        if self.sending.is_sent() && program.has_more() {
            let reading = if program.has_strayed() { Reading::Over } else { Reading::Along };
            let received = std::mem::take(&mut self.buffer).freeze();
            return Poll::Ready(self.relay(received, reading));
        }
        let taken = match ready!(wire::poll_read_body(&connection.stream, cx, &mut self.buffer)) {
            Ok(0) => {
                self.connection = None;
                return Poll::Ready(self.delimiter.connection_ended().err().map(Err));
            }
            Ok(_) => self.delimiter.advance(&self.buffer),
            Err(error) => return Poll::Ready(Some(Err(BodyError::Reset(error)))),
        };
        let Ok(taken) = taken else {
            let received = std::mem::take(&mut self.buffer).freeze();
            return Poll::Ready(self.unread(received));
        };
        let data = self.buffer.split_to(taken).freeze();
        self.reusable &= self.buffer.is_empty();
        self.try_finish();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_ended(&self) -> bool {
        self.begun.is_empty() && self.connection.is_none()
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        // A failure shows when the body is asked for more.
        let _ = self.send(cx);
        Poll::Pending
    }
}
