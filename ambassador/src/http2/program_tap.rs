// SPDX-License-Identifier: Apache-2.0
//! The program's connection as its upstream would make it: how many streams it takes, who is asked whether the other
//! side is there, and why it is left.
//!
//! What `h2` says before anything is asked waits until the upstream has said as much, which it would without a proxy:
//! nothing comes later by that. A stream never waits here.

use std::{sync::Arc, task::Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    frame::{self, Farewell, FrameHeader},
    limits,
    link::{Link, Streams},
    pace::{Read, Took},
    tap::{Fate, Held, Taken, Tap},
    tapped::Tapped,
};

/// What is done with the frames of a program's connection.
pub(crate) struct ProgramTap {
    link: Arc<Link>,
    opening: Opening,
    /// `h2`'s SETTINGS have not been acknowledged yet; they are the first ones.
    h2_awaits_ack: bool,
    /// Acknowledgements of our own SETTINGS that are still to come.
    acks_awaited: u32,
    /// The PING with which `h2` finds out that its first GOAWAY has arrived.
    asked: Option<[u8; 8]>,
}

/// How far the first SETTINGS are.
enum Opening {
    /// `h2` has not said them.
    Unsaid,
    /// They wait for the upstream's.
    Held(BytesMut),
    /// They are out, and said this of streams.
    Told(u32),
    /// The upstream turned out to speak something else: it alone is heard.
    Foreign,
}

impl ProgramTap {
    /// Taps the socket of a program that has still to be read from its preface on.
    pub(crate) fn tap<S: AsyncRead + AsyncWrite + Unpin>(socket: S, link: Arc<Link>) -> Tapped<S, Self> {
        let tap = Self { link, opening: Opening::Unsaid, h2_awaits_ack: true, acks_awaited: 0, asked: None };
        Tapped::new(socket, tap, limits::PREFACE, 0)
    }

    fn settings(&self, frame: &[u8]) -> Fate {
        if let Some(heads) = frame::heads_of(frame) {
            self.link.program_heads.say(heads);
        }
        Fate::Passed
    }

    fn settings_ack(&mut self) -> Fate {
        if self.h2_awaits_ack || self.acks_awaited == 0 {
            self.h2_awaits_ack = false;
            return Fate::Passed;
        }
        self.acks_awaited -= 1;
        Fate::Dropped
    }

    fn pong(&mut self, frame: &[u8]) -> Fate {
        if self.asked.is_some_and(|asked| frame.ends_with(&asked)) {
            self.asked = None;
            return Fate::Passed;
        }
        // Nobody else has asked but the upstream.
        self.hand_over(frame);
        Fate::Dropped
    }

    fn ping(&self, frame: &[u8]) -> Fate {
        if self.hand_over(frame) { Fate::Dropped } else { Fate::Passed }
    }

    /// Says `frame` to the upstream; `false` if it cannot be told.
    fn hand_over(&self, frame: &[u8]) -> bool {
        let hears = self.link.is_connected() || self.link.streams() == Streams::Awaited;
        hears && self.link.to_upstream.put(frame)
    }

    /// Whether the first SETTINGS are to say what the upstream says, or nothing at all.
    fn waits_to_open(&self) -> bool {
        matches!(self.link.streams(), Streams::Awaited | Streams::Ended | Streams::Foreign)
    }

    /// Says the first SETTINGS, which `h2` wants to say with a limit of its own.
    fn open(&mut self, settings: &[u8], out: &mut BytesMut) {
        let streams = self.link.next_streams().unwrap_or(limits::STREAMS_AT_FIRST).min(limits::STREAMS_MAX);
        self.opening = Opening::Told(streams);
        frame::put_settings(settings, streams, self.link.upstream_heads.said(), out);
    }

    /// Says a GOAWAY of `h2` as the upstream would.
    fn part(&self, bytes: &[u8], out: &mut BytesMut) {
        match (Farewell::parse(bytes), self.link.farewell()) {
            (Some((last, ours)), Some(theirs)) if ours.code == 0 => {
                // As soon as the last stream is known. What the upstream has said before it has gone out by then.
                if last != frame::STREAM_MAX {
                    theirs.put(last, out);
                }
            }
            _ => out.extend_from_slice(bytes),
        }
    }

    /// Remembers why the program leaves; `h2` would tell the upstream that all is well.
    fn left(&self, frame: &[u8]) {
        if let Some((_, farewell)) = Farewell::parse(frame)
            && farewell.is_telling()
        {
            self.link.program_leaves(farewell);
        }
    }
}

impl Drop for ProgramTap {
    fn drop(&mut self) {
        self.link.let_upstream_go();
    }
}

impl Tap for ProgramTap {
    // Nothing is to be said any more to a program that has closed its connection.
    const LOOKS_BEFORE_END: bool = false;

    fn register(&self, waker: &Waker) {
        self.link.to_program.register(waker);
    }

    fn wants(&self, header: &FrameHeader) -> bool {
        header.length <= limits::TAPPED_MAX
            && (header.is(frame::SETTINGS) || header.is(frame::PING) || header.is(frame::GOAWAY))
    }

    fn arrived(&mut self, header: &FrameHeader, bytes: &[u8]) -> Fate {
        match header.kind {
            frame::SETTINGS if header.is_ack() => self.settings_ack(),
            frame::SETTINGS => self.settings(bytes),
            frame::PING if header.is_ack() => self.pong(bytes),
            frame::PING => self.ping(bytes),
            _ => {
                self.left(bytes);
                Fate::Passed
            }
        }
    }

    fn takes_all(&mut self, _: &[u8], _: bool) -> Taken {
        Taken::Nothing
    }

    fn changes(&self, header: &FrameHeader) -> bool {
        header.is(frame::SETTINGS) && !header.is_ack()
            || header.is(frame::PING) && !header.is_ack()
            || header.is(frame::GOAWAY) && self.link.farewell().is_some()
    }

    fn leaving(&mut self, header: &FrameHeader, bytes: &[u8], out: &mut BytesMut) {
        match header.kind {
            frame::SETTINGS if self.waits_to_open() => {
                self.opening = Opening::Held(bytes.into());
            }
            frame::SETTINGS => self.open(bytes, out),
            frame::PING => {
                self.asked = bytes.last_chunk().copied();
                out.extend_from_slice(bytes);
            }
            _ => self.part(bytes, out),
        }
    }

    fn release(&mut self, next: Option<&FrameHeader>, out: &mut BytesMut) -> Held {
        let Opening::Held(settings) = &mut self.opening else { return Held::Nothing };
        match self.link.streams() {
            Streams::Awaited | Streams::Ended => {
                let waits = next.is_none_or(|next| next.stream == 0 && next.kind != frame::GOAWAY);
                if waits && out.len() < HELD_MAX {
                    return Held::Everything;
                }
                self.link.await_nobody();
            }
            Streams::Foreign => {
                out.clear();
                self.opening = Opening::Foreign;
                return Held::Nothing;
            }
            Streams::Untold | Streams::Told => {}
        }
        let (settings, rest) = (settings.split(), out.split());
        self.open(&settings, out);
        out.extend_from_slice(&rest);
        Held::Nothing
    }

    fn insert(&mut self, out: &mut BytesMut) {
        match self.opening {
            Opening::Unsaid | Opening::Held(_) => {}
            Opening::Foreign => out.unsplit(self.link.take_foreign()),
            Opening::Told(mut told) => {
                while let Some(streams) = self.link.next_streams() {
                    let streams = streams.min(limits::STREAMS_MAX);
                    if streams != told {
                        self.acks_awaited += 1;
                        frame::put_streams(streams, out);
                        told = streams;
                    }
                }
                self.opening = Opening::Told(told);
                out.unsplit(self.link.to_program.take());
            }
        }
    }

    fn ending(&mut self) {
        self.link.await_nobody();
    }

    fn reads_on(&self) -> bool {
        self.link.pace.takes_program()
    }

    fn read(&mut self, read: Read) {
        self.link.pace.read_program(read);
    }

    fn wrote(&mut self, took: Took) {
        self.link.pace.wrote(took);
    }

    fn is_mute(&self) -> bool {
        matches!(self.opening, Opening::Foreign)
    }
}

/// How many bytes of a connection that has not been asked anything wait for its upstream at most.
pub(super) const HELD_MAX: usize = 4 * 1024;
