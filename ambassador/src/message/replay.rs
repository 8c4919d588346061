// SPDX-License-Identifier: Apache-2.0
//! A request body that can be sent again.
//!
//! A retry needs the bytes that an earlier attempt has already consumed. They are copied as they pass, up to a cap;
//! beyond it the body streams on and can no longer be replayed, which its owner can see and report. They are not kept
//! by reference: a piece of one byte would hold the whole buffer that it was read into. It must never hold more than
//! the cap.

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tokio::{sync::oneshot, time::timeout};

use super::body::{Body, BodyError, BodySource};

/// Keeps a request's body for further attempts.
pub struct ReplayBody {
    kept: Kept,
}

enum Kept {
    /// At hand as a whole: each attempt gets a reference.
    Whole(Body),
    /// Not lent to an attempt.
    Home(Box<Recording>),
    /// Lent to an attempt, which hands it back when it is dropped.
    Lent(oneshot::Receiver<Box<Recording>>, Arc<AtomicBool>),
}

impl ReplayBody {
    /// Wraps `body`, of which at most `cap` bytes are kept.
    pub fn new(body: Body, cap: usize) -> Self {
        let kept = if body.is_at_hand() {
            Kept::Whole(body)
        } else {
            Kept::Home(Box::new(Recording {
                rest: body,
                cap,
                kept: Vec::new(),
                trailers: None,
                over: Arc::default(),
                taken: 0,
            }))
        };
        Self { kept }
    }

    /// The body of the next attempt; `None` when it cannot be sent from its start, or an earlier attempt still has it.
    pub fn attempt(&mut self) -> Option<Body> {
        self.call_home();
        if let Kept::Whole(body) = &self.kept {
            return body.try_clone();
        }
        let (sender, receiver) = oneshot::channel();
        let over = match &self.kept {
            Kept::Home(recording) => Arc::clone(&recording.over),
            Kept::Whole(_) | Kept::Lent(..) => return None,
        };
        match mem::replace(&mut self.kept, Kept::Lent(receiver, over)) {
            Kept::Home(mut recording) if !recording.is_over() => {
                recording.taken = 0;
                Some(Body::source(Attempt { recording: Some(recording), home: Some(sender), ended: false }))
            }
            kept => {
                self.kept = kept;
                None
            }
        }
    }

    /// As [`Self::attempt`], once the attempt that has the body has handed it back. An HTTP/2 upload lets go of it in a
    /// task of its own, which may come after its stream's failure.
    pub async fn next_attempt(&mut self) -> Option<Body> {
        if let Kept::Lent(receiver, _) = &mut self.kept
            && let Ok(Ok(recording)) = timeout(HOMEWARD, receiver).await
        {
            self.kept = Kept::Home(recording);
        }
        self.attempt()
    }

    /// The body can be sent from its start, once the attempt that has it is dropped.
    pub fn is_replayable(&mut self) -> bool {
        self.call_home();
        match &self.kept {
            Kept::Whole(_) => true,
            Kept::Home(recording) => !recording.is_over(),
            Kept::Lent(_, over) => !over.load(Ordering::Relaxed),
        }
    }

    fn call_home(&mut self) {
        if let Kept::Lent(receiver, _) = &mut self.kept
            && let Ok(recording) = receiver.try_recv()
        {
            self.kept = Kept::Home(recording);
        }
    }
}

/// How long the way home of a body may take.
const HOMEWARD: Duration = Duration::from_secs(1);

struct Recording {
    rest: Body,
    cap: usize,
    kept: Vec<u8>,
    trailers: Option<HeaderMap>,
    over: Arc<AtomicBool>,
    /// How many of the kept bytes the present attempt has had.
    taken: usize,
}

impl Recording {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.is_over() {
            return;
        }
        match frame.data_ref() {
            Some(data) if data.len() > self.cap - self.kept.len() => {
                self.over.store(true, Ordering::Relaxed);
                self.kept = Vec::new();
            }
            Some(data) => {
                self.kept.extend_from_slice(data);
                self.taken = self.kept.len();
            }
            None => self.trailers = frame.trailers_ref().cloned(),
        }
    }
}

/// The body of one attempt.
struct Attempt {
    recording: Option<Box<Recording>>,
    home: Option<oneshot::Sender<Box<Recording>>>,
    ended: bool,
}

impl BodySource for Attempt {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(recording) = &mut self.recording else { return Poll::Ready(None) };
        if recording.taken < recording.kept.len() {
            let again = Bytes::copy_from_slice(&recording.kept[recording.taken..]);
            recording.taken = recording.kept.len();
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if let Some(trailers) = recording.trailers.as_ref().filter(|_| !self.ended) {
            self.ended = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        let next = ready!(Pin::new(&mut recording.rest).poll_frame(cx));
        match &next {
            Some(Ok(frame)) => {
                recording.keep(frame);
                self.ended = frame.is_trailers();
            }
            // A cut body can never be sent as a whole.
            Some(Err(_)) => recording.over.store(true, Ordering::Relaxed),
            None => self.ended = true,
        }
        Poll::Ready(next)
    }

    fn is_ended(&self) -> bool {
        self.ended
            || self.recording.as_ref().is_none_or(|recording| {
                recording.rest.is_end_stream()
                    && recording.trailers.is_none()
                    && (recording.is_over() || recording.taken == recording.kept.len())
            })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let (Some(recording), Some(home)) = (self.recording.take(), self.home.take()) {
            // Nobody waits for it any more when the request itself is gone.
            let _ = home.send(recording);
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    struct Pieces(Vec<&'static [u8]>);

    impl BodySource for Pieces {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
            Poll::Ready(next.map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
        }

        fn is_ended(&self) -> bool {
            self.0.is_empty()
        }
    }

    async fn collect(body: Body) -> Bytes {
        body.collect().await.expect("body").to_bytes()
    }

    #[tokio::test]
    async fn a_body_within_the_cap_is_sent_again_from_its_start() {
        let mut replay = ReplayBody::new(Body::source(Pieces(vec![b"ab", b"cd", b"ef"])), 6);
        let mut first = replay.attempt().expect("first");
        first.frame().await.expect("frame").expect("frame");
        assert!(replay.is_replayable() && replay.attempt().is_none(), "an attempt still has it");
        drop(first);
        assert!(replay.is_replayable());
        assert_eq!(collect(replay.attempt().expect("second")).await, "abcdef");
        assert_eq!(collect(replay.attempt().expect("third")).await, "abcdef");
    }

    #[tokio::test]
    async fn a_body_beyond_the_cap_streams_on_and_is_not_replayable() {
        let mut replay = ReplayBody::new(Body::source(Pieces(vec![b"ab", b"cd", b"ef"])), 3);
        assert_eq!(collect(replay.attempt().expect("first")).await, "abcdef");
        assert!(!replay.is_replayable());
        assert!(replay.attempt().is_none());
    }

    #[tokio::test]
    async fn pieces_of_a_byte_do_not_hold_the_buffers_that_they_came_in() {
        struct Trickle(usize);
        impl BodySource for Trickle {
            fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
                let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
                self.0 = left;
                let read = Bytes::from(vec![b'x'; 64 * 1024]);
                Poll::Ready(Some(Ok(Frame::data(read.slice(..1)))))
            }

            fn is_ended(&self) -> bool {
                self.0 == 0
            }
        }
        let mut replay = ReplayBody::new(Body::source(Trickle(1000)), 1000);
        drop(collect(replay.attempt().expect("first")).await);
        let mut second = replay.attempt().expect("second");
        let kept = second.frame().await.expect("frame").expect("frame").into_data().expect("data");
        assert_eq!(kept.len(), 1000, "one copy of what passed, and nothing else");
    }

    #[tokio::test]
    async fn the_next_attempt_waits_for_the_body_to_come_home() {
        let mut replay = ReplayBody::new(Body::source(Pieces(vec![b"ab", b"cd"])), 6);
        let first = replay.attempt().expect("first");
        let letting_go = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(replay.next_attempt(), letting_go);
        assert_eq!(collect(second.expect("second")).await, "abcd");
    }

    #[tokio::test]
    async fn a_whole_body_is_replayed_by_reference() {
        let mut replay = ReplayBody::new(Body::whole(Bytes::from_static(b"xyz")), 0);
        let first = replay.attempt().expect("first");
        let second = replay.attempt().expect("second");
        assert_eq!((collect(first).await, collect(second).await), ("xyz".into(), "xyz".into()));
    }
}
