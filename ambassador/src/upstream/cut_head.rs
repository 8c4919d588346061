// SPDX-License-Identifier: Apache-2.0
//! A reply that is cut within its head: a program that is to see failures as they are gets what has arrived, and its end.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use crate::message::body::{BodyError, BodySource};

/// What has arrived of the head, and how it was cut.
pub(super) struct CutHead {
    begun: Bytes,
    end: Option<BodyError>,
}

impl CutHead {
    /// A head of which `begun` has arrived.
    pub(super) fn new(begun: Bytes, end: BodyError) -> Self {
        Self { begun, end: Some(end) }
    }
}

impl BodySource for CutHead {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.begun.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.begun)))));
        }
        Poll::Ready(self.end.take().map(Err))
    }

    fn is_ended(&self) -> bool {
        self.begun.is_empty() && self.end.is_none()
    }
}
