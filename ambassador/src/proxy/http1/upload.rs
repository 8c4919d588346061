// SPDX-License-Identifier: Apache-2.0
//! A request's body while it arrives: it is lent the reading side of its flow and hands back what it read beyond its
//! end, also when it is given up in the middle.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::sync::oneshot;

use super::unclear::Unclear;
use crate::http1::{framing::Delimiter, peer::Peer, wire};
use crate::message::body::{BodyError, BodySource};

/// What a body that was lent the reading side has read and not passed on.
pub(super) enum HandedBack {
    /// What comes after its end.
    AtRequest(BytesMut),
    /// What comes in the middle of it.
    Midway(BytesMut),
}

/// A request body which is read as it is taken.
pub(super) struct Upload {
    pub(super) peer: Arc<Peer>,
    pub(super) begun: BytesMut,
    pub(super) buffer: BytesMut,
    pub(super) delimiter: Delimiter,
    pub(super) unclear: Unclear,
    pub(super) home: Option<oneshot::Sender<HandedBack>>,
}

impl Upload {
    fn hand_back(&mut self, rest: HandedBack) {
        if let Some(home) = self.home.take() {
            // Nobody waits for it any more when the flow itself is gone.
            let _ = home.send(rest);
        }
    }

    /// Finds what of the buffer belongs to the body. Where a body cannot be followed without a guess, all that the
    /// program sends does, until it ends its side.
    fn delimit(&mut self) -> Result<usize, BodyError> {
        match self.delimiter.advance(&self.buffer) {
            Err(BodyError::Malformed(_)) if self.unclear == Unclear::Relay => {
                self.delimiter = Delimiter::UntilClose;
                Ok(self.buffer.len())
            }
            taken => taken,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.begun);
        rest.unsplit(std::mem::take(&mut self.buffer));
        self.hand_back(HandedBack::Midway(rest));
    }
}

impl BodySource for Upload {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.begun.is_empty() {
            // These have passed the delimiter before.
            let begun = std::mem::take(&mut self.begun).freeze();
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        if self.delimiter.is_done() {
            return Poll::Ready(None);
        }
        let Poll::Ready(read) = wire::poll_read_body(&self.peer.stream, cx, &mut self.buffer) else {
            self.peer.begin_wait();
            return Poll::Pending;
        };
        self.peer.end_wait();
        let outcome = match read {
            Ok(0) => {
                self.peer.set_half_closed();
                Err(BodyError::Truncated)
            }
            Ok(_) => self.delimit(),
            Err(error) => {
                self.peer.set_reset();
                Err(BodyError::Reset(error))
            }
        };
        Poll::Ready(Some(outcome.map(|taken| {
            let data = self.buffer.split_to(taken).freeze();
            if self.delimiter.is_done() {
                let ahead = BytesMut::from(&self.buffer[..]);
                self.hand_back(HandedBack::AtRequest(ahead));
            }
            Frame::data(data)
        })))
    }

    fn is_ended(&self) -> bool {
        self.begun.is_empty() && self.delimiter.is_done()
    }
}
