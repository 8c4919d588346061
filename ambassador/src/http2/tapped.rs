// SPDX-License-Identifier: Apache-2.0
//! A socket below `h2` on which the frames of the connection itself can be read, taken out, changed and put in.
//!
//! `h2` answers PING itself, decides alone what SETTINGS say, and forgets why a peer leaves. Here a [`Tap`] does it
//! instead, so that two connections may look like one. Frames of streams pass without a copy, and none of
//! them is reordered; what is put in may precede what `h2` has not said yet.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frame::FrameHeader,
    pace::{Read, Took},
    position::Position,
    tap::{Fate, Held, Taken, Tap},
};

/// A socket with a tap.
pub(crate) struct Tapped<S, T> {
    socket: S,
    tap: T,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// What has arrived.
struct Incoming {
    position: Position,
    foreign: Taken,
    /// `h2` has got something that streams have not had a turn to take yet.
    is_fresh: bool,
    /// How the connection has failed, which waits for that turn.
    end: Option<io::Error>,
    /// Looked at, and on its way to `h2`.
    ready: BytesMut,
    /// The beginning of a frame that is to be looked at.
    partial: BytesMut,
}

/// What goes out.
struct Outgoing {
    position: Position,
    /// To be written before anything else.
    pending: BytesMut,
    /// The beginning of a frame of `h2` that is to be changed.
    partial: BytesMut,
}

impl<S, T: Tap> Tapped<S, T> {
    /// Taps `socket`, on which so many bytes come before the first frame in either direction.
    pub(super) fn new(socket: S, tap: T, before_incoming: usize, before_outgoing: usize) -> Self {
        let incoming = Incoming {
            position: Position::after(before_incoming),
            foreign: Taken::Undecided,
            is_fresh: false,
            end: None,
            ready: BytesMut::new(),
            partial: BytesMut::new(),
        };
        let outgoing = Outgoing {
            position: Position::after(before_outgoing),
            pending: BytesMut::new(),
            partial: BytesMut::new(),
        };
        Self { socket, tap, incoming, outgoing }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Tap + Unpin> Tapped<S, T> {
    /// Writes what waits, unless it is to wait on.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Outgoing { position, pending, .. } = &mut self.outgoing;
        while self.tap.release(None, pending) == Held::Nothing {
            if pending.is_empty() && position.is_between() {
                self.tap.insert(pending);
            }
            if pending.is_empty() {
                break;
            }
            let written = Pin::new(&mut self.socket).poll_write(cx, pending);
            self.tap.wrote(Took::of(&written));
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pending.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the beginning of `bytes` as the beginning or the rest of a frame that is to be changed.
    fn absorb(&mut self, bytes: &[u8]) -> usize {
        let Outgoing { position, pending, partial } = &mut self.outgoing;
        let known = partial.len();
        let missing = match FrameHeader::parse(partial) {
            None => FrameHeader::LENGTH - known,
            Some(header) => FrameHeader::LENGTH + header.length - known,
        };
        let count = missing.min(bytes.len());
        partial.extend_from_slice(&bytes[..count]);
        let Some(header) = FrameHeader::parse(partial) else { return count };
        let held = self.tap.release(Some(&header), pending);
        if held == Held::Nothing && !self.tap.changes(&header) {
            position.pass(partial);
            pending.unsplit(partial.split());
        } else if partial.len() == FrameHeader::LENGTH + header.length {
            let frame = partial.split();
            if self.tap.changes(&header) {
                self.tap.leaving(&header, &frame, pending);
            } else {
                pending.extend_from_slice(&frame);
            }
        }
        count
    }

    fn poll_out(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        ready!(self.poll_pending(cx))?;
        if self.tap.is_mute() {
            return Poll::Ready(Ok(total));
        }
        let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) else { return Poll::Ready(Ok(0)) };
        let held = self.tap.release(None, &mut self.outgoing.pending);
        let tap = &self.tap;
        let stop = |header: &FrameHeader| held == Held::Everything || tap.changes(header);
        if !self.outgoing.partial.is_empty() {
            return Poll::Ready(Ok(self.absorb(first)));
        }
        let mut position = self.outgoing.position;
        let all_free = bufs.iter().all(|buf| {
            let is_free = position.free(buf, stop) == buf.len();
            position.pass(buf);
            is_free
        });
        let written = if all_free {
            Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
        } else {
            match self.outgoing.position.free(first, stop) {
                0 => return Poll::Ready(Ok(self.absorb(first))),
                free => Pin::new(&mut self.socket).poll_write(cx, &first[..free]),
            }
        };
        self.tap.wrote(Took::of(&written));
        let count = ready!(written)?;
        let mut rest = count;
        for buf in bufs {
            let passed = rest.min(buf.len());
            self.outgoing.position.pass(&buf[..passed]);
            rest -= passed;
        }
        Poll::Ready(Ok(count))
    }
}

impl Incoming {
    /// Whether nothing in `bytes`, which come next, needs a look.
    fn is_free(&self, bytes: &[u8], tap: &impl Tap) -> bool {
        self.foreign == Taken::Nothing
            && self.partial.is_empty()
            && self.position.free(bytes, |header| tap.wants(header)) == bytes.len()
    }

    /// `h2` gets so many bytes.
    fn give(&mut self, bytes: usize) -> Read {
        self.is_fresh = true;
        Read { bytes, heads: self.position.take_heads() }
    }

    /// Sorts what is there into what `h2` gets and what it does not.
    fn sort(&mut self, tap: &mut impl Tap) {
        loop {
            let free = self.position.free(&self.partial, |header| tap.wants(header));
            if free > 0 {
                let passed = self.partial.split_to(free);
                self.position.pass(&passed);
                self.ready.unsplit(passed);
                continue;
            }
            let Some(header) = FrameHeader::parse(&self.partial) else { return };
            let whole = FrameHeader::LENGTH + header.length;
            if self.partial.len() < whole {
                return;
            }
            let frame = self.partial.split_to(whole);
            if tap.arrived(&header, &frame) == Fate::Passed {
                self.ready.unsplit(frame);
            }
        }
    }

    /// Takes what was read; `h2` gets nothing of what is foreign.
    fn take(&mut self, bytes: &[u8], tap: &mut impl Tap) {
        if self.foreign == Taken::All {
            tap.takes_all(bytes, false);
            return;
        }
        self.partial.extend_from_slice(bytes);
        if self.foreign == Taken::Undecided {
            self.foreign = tap.takes_all(&self.partial, bytes.is_empty());
        }
        match self.foreign {
            Taken::All => self.partial.clear(),
            Taken::Nothing => self.sort(tap),
            Taken::Undecided => {}
        }
        if bytes.is_empty() {
            // Nothing will make it whole.
            self.ready.unsplit(self.partial.split());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Tap + Unpin> AsyncRead for Tapped<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.tap.register(cx.waker());
        if let Poll::Ready(Err(error)) = this.poll_pending(cx) {
            return Poll::Ready(Err(error));
        }
        if let Some(error) = this.incoming.end.take() {
            return Poll::Ready(Err(error));
        }
        while this.tap.reads_on() {
            let incoming = &mut this.incoming;
            if !incoming.ready.is_empty() {
                let count = incoming.ready.len().min(buf.remaining());
                buf.put_slice(&incoming.ready.split_to(count));
                this.tap.read(incoming.give(count));
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            let read = Pin::new(&mut this.socket).poll_read(cx, buf);
            if read.is_pending() {
                incoming.is_fresh = false;
                return Poll::Pending;
            }
            let arrived = &buf.filled()[before..];
            let is_end = arrived.is_empty();
            if T::LOOKS_BEFORE_END && is_end && incoming.is_fresh && buf.remaining() > 0 {
                incoming.is_fresh = false;
                if let Poll::Ready(Err(error)) = read {
                    incoming.end = Some(error);
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(read)?;
            if incoming.is_free(arrived, &this.tap) {
                incoming.position.pass(arrived);
                this.tap.read(incoming.give(arrived.len()));
                return Poll::Ready(Ok(()));
            }
            incoming.take(arrived, &mut this.tap);
            buf.set_filled(before);
            if is_end && incoming.ready.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Tap + Unpin> AsyncWrite for Tapped<S, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tap.ending();
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
