// SPDX-License-Identifier: Apache-2.0
//! The body of a request or of a reply, whatever carries it.
//!
//! Bodies stream: nothing here buffers one. An HTTP/1 body is the bytes as they stood on the wire, framing included,
//! so that it is relayed unchanged; an HTTP/2 body is its DATA frames and trailers. A body also tells when it has
//! ended, because permits and measurements live until then, not until the head. It must never end cleanly when its
//! sender did not.

mod cut;

pub use cut::{BodyError, BodyErrorKind};

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::{Timer, end_hooks::EndHooks};
use crate::http2::{heads::Place, incoming::Incoming};

/// Called once when a body has ended, or was dropped before its end.
pub type EndHook = Box<dyn FnOnce(BodyEnd) + Send + Sync>;

/// The body of a request or of a reply.
pub struct Body {
    kind: Kind,
    bytes: u64,
    grpc_status: Option<u16>,
    hooks: EndHooks,
    bound: Option<Bound>,
    /// When the last of it arrived, as long as nobody has waited since.
    arrived: Option<Instant>,
}

enum Kind {
    Empty,
    Whole(Bytes),
    Http2(Incoming),
    Source(Box<dyn BodySource>),
}

/// A streaming body which this crate makes itself.
pub trait BodySource: Send + Sync {
    /// Yields the next piece, `None` after a clean end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Nothing more will be yielded, and the end was clean.
    fn is_ended(&self) -> bool;

    /// Goes on with what must not wait until the reader of this body takes more (the rest of an upload). `Ready` when
    /// the body is cut meanwhile.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let _ = cx;
        Poll::Pending
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyEnd {
    /// Bytes that were yielded; for HTTP/1 with their framing.
    pub bytes: u64,
    /// Bytes that the reader has sent beyond its request, on a connection that was relayed after this body.
    pub sent: u64,
    /// The status of the reply, where it was read only after its head had been given up as unread.
    pub status: Option<u16>,
    /// Whether the end was clean.
    pub clean: Result<(), BodyErrorKind>,
    /// `grpc-status` of its trailers, if it had one.
    pub grpc_status: Option<u16>,
    /// When it ended.
    pub at: Instant,
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    /// A body that is at hand as a whole.
    pub fn whole(bytes: Bytes) -> Self {
        Self::of(if bytes.is_empty() { Kind::Empty } else { Kind::Whole(bytes) })
    }

    /// Makes an empty body one that is at hand as a whole, whose last byte has arrived at `now`: a reader that takes all
    /// of it at once has it then.
    pub fn fill(&mut self, bytes: Bytes, now: Instant) {
        if !bytes.is_empty() {
            self.kind = Kind::Whole(bytes);
        }
        self.arrived = Some(now);
    }

    /// The body of an HTTP/2 request whose head has `place`.
    pub(crate) fn http2(stream: h2::RecvStream, place: Arc<Place>) -> Self {
        let incoming = Incoming::of_request(stream, place);
        Self::of(if incoming.is_end_stream() { Kind::Empty } else { Kind::Http2(incoming) })
    }

    /// A streaming body.
    pub fn source(source: impl BodySource + 'static) -> Self {
        Self::of(Kind::Source(Box::new(source)))
    }

    /// Calls `hook` when this body has ended or is dropped; hooks are called in the order in which they were added.
    pub fn on_end(&mut self, hook: EndHook) {
        self.hooks.push(hook);
    }

    /// There is no byte to come, and none has been yielded.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && matches!(self.kind, Kind::Empty)
    }

    /// Returns this body again if it is at hand as a whole and nothing of it was taken; hooks are not copied.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.kind {
            _ if self.bytes > 0 => None,
            Kind::Empty => Some(Self::empty()),
            Kind::Whole(bytes) => Some(Self::whole(bytes.clone())),
            Kind::Http2(_) | Kind::Source(_) => None,
        }
    }

    /// This body is at hand as a whole: sending it waits for nobody, and it can be sent again.
    pub fn is_at_hand(&self) -> bool {
        self.bytes == 0 && matches!(self.kind, Kind::Empty | Kind::Whole(_))
    }

    /// Bytes of a body that is at hand as a whole. It may be sent by copies, so that its own end tells nothing.
    pub fn length_at_hand(&self) -> Option<u64> {
        match &self.kind {
            _ if !self.is_at_hand() => None,
            Kind::Whole(bytes) => Some(bytes.len() as u64),
            _ => Some(0),
        }
    }

    /// Goes on with what must not wait until the reader of this body takes more. `Ready` when the body is cut
    /// meanwhile.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        self.arrived = None;
        let driven = if let Kind::Source(source) = &mut self.kind { source.drive(cx) } else { Poll::Pending };
        let error = match driven {
            Poll::Ready(error) => error,
            // A reader that takes nothing must not hold the request beyond its time.
            Poll::Pending => ready!(self.poll_overdue(cx)),
        };
        self.end(Err(error.kind()));
        Poll::Ready(error)
    }

    /// Ends this body with what was relayed past it (an upgraded connection), so that its end reports that.
    pub fn end_relayed(self, sent: u64, received: u64, clean: Result<(), BodyErrorKind>) {
        self.end_read_along(None, sent, received, clean);
    }

    /// The same for the body of a reply that was read along while it was relayed: its `status` is known by now.
    pub fn end_read_along(
        mut self,
        status: Option<u16>,
        sent: u64,
        received: u64,
        clean: Result<(), BodyErrorKind>,
    ) {
        self.bytes += received;
        self.end_with(status, sent, clean);
    }

    /// Cuts this body if it has not ended at `until`.
    pub fn cut_at(&mut self, until: Instant) {
        if !self.is_empty() {
            self.bound = Some(Bound { until, timer: None });
        }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, bytes: 0, grpc_status: None, hooks: EndHooks::default(), bound: None, arrived: None }
    }

    fn end(&mut self, clean: Result<(), BodyErrorKind>) {
        self.end_with(None, 0, clean);
    }

    fn end_with(&mut self, status: Option<u16>, sent: u64, clean: Result<(), BodyErrorKind>) {
        self.kind = Kind::Empty;
        self.bound = None;
        if self.hooks.is_empty() {
            return;
        }
        let at = self.arrived.unwrap_or_else(Instant::now);
        let (bytes, grpc_status) = (self.bytes, self.grpc_status);
        let end = BodyEnd { bytes, sent, status, clean, grpc_status, at };
        mem::take(&mut self.hooks).tell(end);
    }
}

/// The time limit of a body.
struct Bound {
    until: Instant,
    /// Made when there is something to wait for.
    timer: Option<Timer>,
}

impl Body {
    /// Asks its source for the next piece, if there is time left.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Kind::Whole(bytes) = &mut self.kind {
            let bytes = mem::take(bytes);
            self.kind = Kind::Empty;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        // A body of which there is always more must not keep the timer from being asked.
        let in_time = self.bound.as_ref().is_none_or(|bound| Instant::now() < bound.until);
        if in_time {
            let next = match &mut self.kind {
                Kind::Empty | Kind::Whole(_) => Poll::Ready(None),
                Kind::Http2(incoming) => incoming.poll_frame(cx),
                Kind::Source(source) => source.poll_chunk(cx),
            };
            if next.is_ready() {
                return next;
            }
        }
        self.poll_overdue(cx).map(|error| Some(Err(error)))
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(Bound { until, timer }) = &mut self.bound else { return Poll::Pending };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(*until)));
        timer.as_mut().poll(cx).map(|()| BodyError::Overdue)
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len() as u64;
        } else if let Some(status) = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status")) {
            self.grpc_status = status.to_str().ok().and_then(|status| status.parse().ok());
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        match &next {
            Some(Ok(frame)) => self.note(frame),
            // It goes on outside of this body, which ends when that does.
            Some(Err(BodyError::Unread(_))) => self.kind = Kind::Empty,
            Some(Err(error)) => self.end(Err(error.kind())),
            None => self.end(Ok(())),
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Http2(incoming) => incoming.is_end_stream(),
            Kind::Source(source) => source.is_ended(),
        }
    }

    /// Always unknown: nothing here adds a `content-length` that nobody sent.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.hooks.is_empty() {
            let clean =
                if http_body::Body::is_end_stream(self) { Ok(()) } else { Err(BodyErrorKind::Abandoned) };
            self.end(clean);
        }
    }
}
