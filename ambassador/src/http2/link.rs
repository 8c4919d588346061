// SPDX-License-Identifier: Apache-2.0
//! What the two connections of a flow tell each other beside its streams, as if they were one.
//!
//! How they end, how many streams the upstream takes, who asks whether the other is still there, and why one leaves.
//! What waits to be told is bounded: beyond that a connection answers for itself.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Waker,
};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use http::HeaderMap;

use super::{
    ending::Ending,
    frame::{self, Farewell},
    pace::Pace,
};

/// What a program's connection and its upstream's have in common.
#[derive(Default)]
pub(crate) struct Link {
    /// How the program's connection is to end.
    pub(crate) ending: Ending,
    upstream: Mutex<Upstream>,
    /// Why the program leaves, if it has said more than that it does.
    program_leaves: Mutex<Option<Farewell>>,
    /// The program has reset its connection.
    program_reset: AtomicBool,
    /// The number of the upstream's newest connection while it is there, or 0.
    newest: AtomicU32,
    /// How long the heads are that the upstream takes.
    pub(super) upstream_heads: Limit,
    /// How long the heads are that the program takes.
    pub(super) program_heads: Limit,
    pub(super) to_program: Lane,
    pub(super) to_upstream: Lane,
    pub(super) pace: Pace,
}

/// What is known of the upstream.
#[derive(Default)]
struct Upstream {
    connections: u32,
    streams: Streams,
    /// What it has said of them and the program was not told yet.
    told: VecDeque<u32>,
    farewell: Option<Farewell>,
    /// What an upstream has said that does not speak HTTP/2, until the program's side has taken it.
    foreign: BytesMut,
    /// The program has been sent all of that.
    is_heard: bool,
}

/// How many streams the upstream takes at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Streams {
    /// It has not said it, and nobody waits for that.
    #[default]
    Untold,
    /// It is about to say it.
    Awaited,
    /// It was, and has ended without a word: so may the program's connection.
    Ended,
    /// It has.
    Told,
    /// It does not speak HTTP/2.
    Foreign,
}

/// What an end has said that it takes at most; nothing until then.
#[derive(Default)]
pub(super) struct Limit(AtomicU32);

/// Frames that wait to be put between those of a connection.
#[derive(Default)]
pub(super) struct Lane {
    frames: Mutex<BytesMut>,
    waker: AtomicWaker,
}

impl Link {
    /// The upstream hears of the program's connection at once: what it says first is to be waited for.
    pub(crate) fn await_upstream(&self) {
        self.upstream().streams = Streams::Awaited;
    }

    /// There is no upstream to be waited for.
    pub(crate) fn await_nobody(&self) {
        let mut upstream = self.upstream();
        if matches!(upstream.streams, Streams::Awaited | Streams::Ended) {
            upstream.streams = Streams::Untold;
            self.to_program.wake();
        }
        drop(upstream);
        self.answer_for_nobody();
    }

    /// Numbers a connection to the upstream, which is the newest one.
    pub(super) fn connected(&self) -> u32 {
        let mut upstream = self.upstream();
        upstream.connections += 1;
        self.newest.store(upstream.connections, Ordering::Relaxed);
        // The one before is not held back for this one.
        self.to_upstream.wake();
        upstream.connections
    }

    /// That connection is gone, and has not answered these PINGs of the program: the next one is asked.
    pub(super) fn disconnected<'a>(&self, number: u32, unanswered: impl IntoIterator<Item = &'a [u8]>) {
        for ping in unanswered {
            self.to_upstream.put(ping);
        }
        if self.is_newest(number) {
            self.newest.store(0, Ordering::Relaxed);
            let mut upstream = self.upstream();
            if upstream.streams == Streams::Awaited {
                upstream.streams = Streams::Ended;
            }
        }
        self.answer_for_nobody();
    }

    /// Whether the upstream has ended without a word, and the program was not told anything either.
    pub(crate) fn has_ended_silently(&self) -> bool {
        self.streams() == Streams::Ended
    }

    /// Whether the program takes a reply's head with these fields, by what it has said (RFC 9113 §6.5.2).
    pub(crate) fn program_takes(&self, fields: &HeaderMap) -> bool {
        let lengths = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
        let length: usize = lengths.chain([":status200".len() + FIELD_OVERHEAD]).sum();
        length <= self.program_heads.said() as usize
    }

    /// Answers the PINGs that were for an upstream that is not there, as those that come now are. The program is told by
    /// GOAWAY that its upstream has gone; what it asks is whether its own connection, with its streams, still lives.
    fn answer_for_nobody(&self) {
        if self.is_connected() {
            return;
        }
        for (header, ping) in frame::each(&self.to_upstream.take()) {
            if !header.is_ack() {
                self.to_program.put(&frame::pong(ping));
            }
        }
    }

    pub(super) fn is_newest(&self, number: u32) -> bool {
        self.newest.load(Ordering::Relaxed) == number
    }

    /// Whether a connection to the upstream is there.
    pub(crate) fn is_connected(&self) -> bool {
        !self.is_newest(0)
    }

    /// Whether there has ever been a connection to the upstream.
    pub(crate) fn was_connected(&self) -> bool {
        self.upstream().connections > 0
    }

    pub(super) fn streams(&self) -> Streams {
        self.upstream().streams
    }

    /// The upstream has said how many streams it takes.
    pub(super) fn take_streams(&self, streams: u32) {
        let mut upstream = self.upstream();
        upstream.streams = Streams::Told;
        if upstream.told.len() == TOLD_MAX {
            // The last one counts.
            upstream.told.pop_back();
        }
        upstream.told.push_back(streams);
        self.to_program.wake();
    }

    /// What the program is to be told next of how many streams the upstream takes.
    pub(super) fn next_streams(&self) -> Option<u32> {
        self.upstream().told.pop_front()
    }

    /// The upstream has said why it leaves.
    pub(super) fn leave(&self, farewell: Farewell) {
        self.upstream().farewell = Some(farewell);
    }

    pub(super) fn farewell(&self) -> Option<Farewell> {
        self.upstream().farewell.clone()
    }

    /// The program has said why it leaves.
    pub(super) fn program_leaves(&self, farewell: Farewell) {
        *self.program_leaves.lock().unwrap_or_else(PoisonError::into_inner) = Some(farewell);
    }

    pub(super) fn why_program_leaves(&self) -> Option<Farewell> {
        self.program_leaves.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The program has reset its connection: what it has not said before, it does not say.
    pub(crate) fn program_resets(&self) {
        self.program_reset.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_reset_by_program(&self) -> bool {
        self.program_reset.load(Ordering::Relaxed)
    }

    /// Tells the program why its upstream has left, at the very end of its connection.
    pub(crate) fn say_farewell(&self) {
        if let Some(farewell) = self.farewell() {
            let mut bytes = BytesMut::new();
            // Streams have other numbers on the other side.
            farewell.put(frame::STREAM_MAX, &mut bytes);
            self.to_program.put(&bytes);
        }
    }

    /// The upstream has said `bytes` that are no HTTP/2.
    pub(super) fn say_foreign(&self, bytes: &[u8]) {
        let mut upstream = self.upstream();
        upstream.streams = Streams::Foreign;
        upstream.foreign.extend_from_slice(bytes);
        self.to_program.wake();
    }

    /// Whether more of that may be read.
    pub(super) fn takes_foreign(&self) -> bool {
        self.upstream().foreign.len() < FOREIGN_MAX
    }

    /// What the program is to hear next of that; it has heard what was taken before.
    pub(super) fn take_foreign(&self) -> BytesMut {
        let mut upstream = self.upstream();
        upstream.is_heard = upstream.foreign.is_empty();
        self.to_upstream.wake();
        std::mem::take(&mut upstream.foreign)
    }

    /// Whether the program has still to hear something of that.
    pub(crate) fn is_unheard(&self) -> bool {
        let upstream = self.upstream();
        upstream.streams == Streams::Foreign && !upstream.is_heard
    }

    /// Whether more of the upstream is read; if not, the program's side wakes it when there is room again.
    pub(super) fn takes_upstream(&self) -> bool {
        let takes = self.pace.takes_upstream();
        if !takes {
            // Nothing of what was read may have been for the program.
            self.to_program.wake();
        }
        takes
    }

    /// The program's side has done what it could for now, and its streams have a turn.
    pub(crate) fn turn(&self) {
        let held_back = self.pace.turn();
        if held_back.program {
            self.to_program.wake();
        }
        if held_back.upstream {
            self.to_upstream.wake();
        }
    }

    /// The program's connection is gone.
    pub(super) fn let_upstream_go(&self) {
        self.pace.end();
        self.to_upstream.wake();
    }

    fn upstream(&self) -> MutexGuard<'_, Upstream> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit {
    /// The end has said it.
    pub(super) fn say(&self, limit: u32) {
        self.0.store(!limit, Ordering::Relaxed);
    }

    pub(super) fn said(&self) -> u32 {
        !self.0.load(Ordering::Relaxed)
    }
}

impl Lane {
    /// Puts a frame in; `false` if too many wait.
    pub(super) fn put(&self, frame: &[u8]) -> bool {
        let mut frames = self.frames();
        let fits = frames.len() + frame.len() <= LANE_MAX;
        if fits {
            frames.extend_from_slice(frame);
            self.wake();
        }
        fits
    }

    pub(super) fn take(&self) -> BytesMut {
        std::mem::take(&mut self.frames())
    }

    /// Who is woken when there is something to be told.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn wake(&self) {
        self.waker.wake();
    }

    fn frames(&self) -> MutexGuard<'_, BytesMut> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a field counts beyond its bytes.
const FIELD_OVERHEAD: usize = 32;
/// How many numbers of streams wait to be told at most.
const TOLD_MAX: usize = 8;
/// The most bytes of frames that wait: more than a hundred of PING, and the longest GOAWAY that is read.
const LANE_MAX: usize = 2 * 1024;
/// The bytes of an upstream that does not speak HTTP/2 that wait, beyond which it is not read on.
pub(super) const FOREIGN_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded() {
        let lane = Lane::default();
        let put = (0..10_000).filter(|_| lane.put(&[0; 17])).count();
        assert_eq!(put, LANE_MAX / 17);
        assert_eq!(lane.take().len(), put * 17);
        assert!(lane.put(&[0; 17]), "there is room again");
    }

    #[test]
    fn who_has_said_nothing_takes_everything() {
        let limit = Limit::default();
        assert_eq!(limit.said(), frame::NO_LIMIT);
        limit.say(0);
        assert_eq!(limit.said(), 0);
    }

    #[test]
    fn a_head_counts_its_fields_with_what_it_takes_to_remember_them() {
        let link = Link::default();
        let mut fields = HeaderMap::new();
        link.program_heads.say(42);
        assert!(link.program_takes(&fields));
        fields.insert("a", http::HeaderValue::from_static("b"));
        assert!(!link.program_takes(&fields));
        link.program_heads.say(42 + 34);
        assert!(link.program_takes(&fields));
    }

    #[test]
    fn only_the_newest_connection_is_the_upstreams() {
        let link = Link::default();
        assert!(!link.is_connected());
        let (old, new) = (link.connected(), link.connected());
        link.disconnected(old, []);
        assert!(link.is_connected() && link.is_newest(new));
        link.await_upstream();
        link.disconnected(new, []);
        assert!(!link.is_connected());
        assert!(link.has_ended_silently());
        link.await_nobody();
        assert_eq!(link.streams(), Streams::Untold, "nobody is waited for any more");
    }
}
