// SPDX-License-Identifier: Apache-2.0
//! The body of an HTTP/2 message as it arrives: DATA frames, then trailers.
//!
//! Credit is given back for a piece when the next one is asked for, so that a sender runs no further ahead than its
//! reader: a piece that waits for somebody else's credit is still the sender's. Only `END_STREAM` is a clean end: a reset
//! is an error whatever its code, `NO_ERROR` and `CANCEL` included.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http_body::Frame;

use super::{heads::Place, limits};
use crate::message::body::BodyError;

/// The body of an HTTP/2 message.
pub(crate) struct Incoming {
    stream: RecvStream,
    /// The length of the last piece, for which no credit was given back yet.
    taken: usize,
    /// Where the trailers of a request are kept.
    place: Option<Arc<Place>>,
}

impl Incoming {
    /// Of a reply.
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, taken: 0, place: None }
    }

    /// Of a request whose head has `place`.
    pub(crate) fn of_request(stream: RecvStream, place: Arc<Place>) -> Self {
        Self { stream, taken: 0, place: Some(place) }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.give_back();
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                self.taken = data.len();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(cut(error)))),
            None => match ready!(self.stream.poll_trailers(cx)) {
                Ok(trailers) => Poll::Ready(trailers.map(|trailers| self.keep(trailers))),
                Err(error) => Poll::Ready(Some(Err(cut(error)))),
            },
        }
    }

    /// Nothing more will come, and the end was clean.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// Trailers may be as long as heads, and wait like them.
    fn keep(&self, trailers: HeaderMap) -> Result<Frame<Bytes>, BodyError> {
        match &self.place {
            Some(place) if trailers.len() > limits::FIELDS_MAX || !place.keep(&trailers) => {
                Err(BodyError::Stream(Reason::ENHANCE_YOUR_CALM.into()))
            }
            _ => Ok(Frame::trailers(trailers)),
        }
    }

    fn give_back(&mut self) {
        if self.taken > 0 {
            // A stream that has failed meanwhile says so by its next frame.
            let _ = self.stream.flow_control().release_capacity(std::mem::take(&mut self.taken));
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // The other direction of the stream may go on for long.
        self.give_back();
    }
}

/// Tells a stream that was reset from a connection that was lost.
fn cut(error: h2::Error) -> BodyError {
    match lost(error) {
        Ok(source) if source.kind() == io::ErrorKind::UnexpectedEof => BodyError::Truncated,
        Ok(source) => BodyError::Reset(source),
        Err(error) => BodyError::Stream(error),
    }
}

/// How the connection was lost; `Err` if it was not. An orderly end that left streams open is `UnexpectedEof`.
pub(crate) fn lost(error: h2::Error) -> Result<io::Error, h2::Error> {
    if !error.is_io() {
        return Err(error);
    }
    let orderly = error.get_io().is_none_or(|source| source.kind() == io::ErrorKind::BrokenPipe);
    if orderly {
        return Ok(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()))
}
