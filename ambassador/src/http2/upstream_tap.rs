// SPDX-License-Identifier: Apache-2.0
//! The upstream's connection as its program would make it: it is asked whether it is there, and told why it is left.
//!
//! What it says of itself goes to the program's side. An upstream that answers with something else than HTTP/2 before
//! the program was told anything is heard as it is.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    ending::Wish,
    frame::{self, Farewell, FrameHeader},
    limits,
    link::{Link, Streams},
    pace::{Read, Took},
    tap::{Fate, Held, Taken, Tap},
    tapped::Tapped,
};

/// What is done with the frames of an upstream's connection.
pub(crate) struct UpstreamTap {
    /// The program's side; nothing if the upstream is another one than the program has dialled.
    to: Option<Linked>,
    /// `h2` has said its SETTINGS.
    opened: bool,
    /// The upstream has said its own.
    greeted: bool,
    is_foreign: bool,
    /// PINGs of the program that have gone out, until they are answered.
    unanswered: VecDeque<Bytes>,
}

/// The program's side, and which of its connections this one is.
struct Linked {
    link: Arc<Link>,
    number: u32,
}

impl UpstreamTap {
    /// Taps a new connection.
    pub(crate) fn tap<S: AsyncRead + AsyncWrite + Unpin>(
        socket: S,
        link: Option<Arc<Link>>,
    ) -> Tapped<S, Self> {
        let to = link.map(|link| Linked { number: link.connected(), link });
        let tap = Self { to, opened: false, greeted: false, is_foreign: false, unanswered: VecDeque::new() };
        Tapped::new(socket, tap, 0, limits::PREFACE)
    }

    /// The program's side, if it may hear of this connection.
    fn link(&self) -> Option<&Link> {
        self.to.as_ref().filter(|to| to.link.is_newest(to.number)).map(|to| &*to.link)
    }

    fn settings(&mut self, frame: &[u8]) {
        let streams = frame::streams_of(frame);
        let is_first = !std::mem::replace(&mut self.greeted, true);
        if let Some(link) = self.link()
            && (is_first || streams.is_some())
        {
            // Told with the first ones; who changes it later is not heard.
            link.upstream_heads.say(frame::heads_of(frame).unwrap_or(frame::NO_LIMIT));
            link.take_streams(streams.unwrap_or(frame::NO_LIMIT));
        }
    }

    /// Remembers which PINGs of the program go out by this connection.
    fn asks(&mut self, frames: &Bytes) {
        for (_, ping) in frame::each(frames).filter(|(header, _)| !header.is_ack()) {
            if self.unanswered.len() == UNANSWERED_MAX {
                self.unanswered.pop_front();
            }
            self.unanswered.push_back(frames.slice_ref(ping));
        }
    }

    fn ping(&mut self, header: &FrameHeader, frame: &[u8]) -> Fate {
        if header.is_ack() {
            let answers = |ping: &Bytes| ping[FrameHeader::LENGTH..] == frame[FrameHeader::LENGTH..];
            if let Some(at) = self.unanswered.iter().position(answers) {
                self.unanswered.remove(at);
            }
        }
        // Nobody but the program has asked for an answer, which may come on the connection before the newest one.
        let link = if header.is_ack() { self.to.as_ref().map(|to| &*to.link) } else { self.link() };
        let told = link.is_some_and(|link| link.to_program.put(frame));
        if told || header.is_ack() { Fate::Dropped } else { Fate::Passed }
    }

    fn left(&self, frame: &[u8]) {
        let (Some(link), Some((_, farewell))) = (self.link(), Farewell::parse(frame)) else { return };
        if farewell.is_telling() {
            link.leave(farewell);
        }
    }
}

impl Drop for UpstreamTap {
    fn drop(&mut self) {
        let Some(Linked { link, number }) = &self.to else { return };
        if self.is_foreign {
            link.ending.ask(Wish::Close);
        }
        link.disconnected(*number, self.unanswered.iter().map(|ping| &**ping));
    }
}

impl Tap for UpstreamTap {
    const LOOKS_BEFORE_END: bool = true;

    fn register(&self, waker: &Waker) {
        if let Some(link) = self.link() {
            link.to_upstream.register(waker);
        }
    }

    fn wants(&self, header: &FrameHeader) -> bool {
        let is_short = header.length <= limits::TAPPED_MAX;
        // Somebody waits for SETTINGS, however long they are.
        header.is(frame::SETTINGS) && !header.is_ack() && header.length <= limits::FRAME_MAX as usize
            || is_short && (header.is(frame::PING) || header.is(frame::GOAWAY))
    }

    fn arrived(&mut self, header: &FrameHeader, bytes: &[u8]) -> Fate {
        match header.kind {
            frame::PING => return self.ping(header, bytes),
            frame::SETTINGS => self.settings(bytes),
            _ => self.left(bytes),
        }
        Fate::Passed
    }

    fn takes_all(&mut self, bytes: &[u8], is_end: bool) -> Taken {
        if !self.is_foreign {
            match FrameHeader::parse(bytes) {
                Some(header) if header.is(frame::SETTINGS) => {
                    // Some say theirs later, or never; programs take the first that comes for them.
                    if let Some(link) = self.link().filter(|_| header.is_ack()) {
                        link.await_nobody();
                    }
                    return Taken::Nothing;
                }
                None if !is_end => return Taken::Undecided,
                None if bytes.is_empty() => return Taken::Nothing,
                _ => {}
            }
            self.is_foreign = self.link().is_some_and(|link| link.streams() == Streams::Awaited);
        }
        match self.to.as_ref().filter(|_| self.is_foreign) {
            Some(to) => {
                to.link.say_foreign(bytes);
                Taken::All
            }
            None => Taken::Nothing,
        }
    }

    fn changes(&self, header: &FrameHeader) -> bool {
        !self.opened && header.is(frame::SETTINGS)
            || header.is(frame::GOAWAY) && self.link().is_some_and(|link| link.why_program_leaves().is_some())
    }

    fn leaving(&mut self, header: &FrameHeader, bytes: &[u8], out: &mut BytesMut) {
        self.opened = true;
        let Some(link) = self.link() else { return out.extend_from_slice(bytes) };
        match link.why_program_leaves() {
            _ if header.is(frame::SETTINGS) => frame::put_heads(bytes, link.program_heads.said(), out),
            Some(theirs) => theirs.put(0, out),
            None => out.extend_from_slice(bytes),
        }
    }

    fn release(&mut self, _: Option<&FrameHeader>, _: &mut BytesMut) -> Held {
        Held::Nothing
    }

    fn insert(&mut self, out: &mut BytesMut) {
        if self.opened
            && let Some(link) = self.link()
        {
            let frames = link.to_upstream.take();
            if !frames.is_empty() {
                out.extend_from_slice(&frames);
                self.asks(&frames.freeze());
            }
        }
    }

    fn ending(&mut self) {}

    fn reads_on(&self) -> bool {
        match &self.to {
            Some(to) if self.is_foreign => to.link.takes_foreign(),
            _ => self.link().is_none_or(Link::takes_upstream),
        }
    }

    fn read(&mut self, read: Read) {
        if let Some(link) = self.link() {
            link.pace.read_upstream(read);
        }
    }

    fn wrote(&mut self, _: Took) {}

    fn is_mute(&self) -> bool {
        self.to.as_ref().is_some_and(|to| to.link.is_reset_by_program())
    }
}

/// How many PINGs are remembered: more than anybody asks who waits for an answer.
const UNANSWERED_MAX: usize = 100;
