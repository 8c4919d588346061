// SPDX-License-Identifier: Apache-2.0
//! [`Direction`]: the bytes that go one way, and their end.
//!
//! The last bytes leave in one segment with the end, where both are there at once: a server that answers and closes
//! would otherwise cost its program a segment and a wake-up more than without a proxy.

use std::{
    io,
    mem::MaybeUninit,
    net::Shutdown,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt as _;
use socket2::SockRef;
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

use crate::net::{buffer::Buffer, urgent};

/// Which end of a direction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Source,
    Destination,
}

/// One direction of a relay.
pub(super) struct Direction {
    first: Bytes,
    buffer: Option<Buffer>,
    /// What `buffer` holds is one urgent byte.
    urgent: bool,
    /// How the source has ended; it is told when `buffer` is empty.
    last: Option<Result<(), Broken>>,
    pub(super) moved: u64,
    pub(super) state: State,
}

#[derive(Clone, Copy)]
pub(super) enum State {
    Moving,
    Ended(Result<(), Broken>),
}

impl Direction {
    pub(super) fn new(first: Bytes) -> Self {
        Self { first, buffer: None, urgent: false, last: None, moved: 0, state: State::Moving }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        destination: &TcpStream,
        opposite: State,
        watch: impl FnMut(&[u8]),
    ) -> Poll<Result<(), Broken>> {
        if let State::Ended(result) = self.state {
            return Poll::Ready(result);
        }
        let result = ready!(self.poll_move(cx, source, destination, opposite, watch));
        // Where nothing moves the other way either, both sockets are closed now, which says the same.
        if result.is_ok() && !matches!(opposite, State::Ended(Ok(()))) {
            // A peer that is gone already answers the next write with its reset.
            let _ = SockRef::from(destination).shutdown(Shutdown::Write);
        }
        self.buffer = None;
        self.state = State::Ended(result);
        Poll::Ready(result)
    }

    /// Whether bytes that were read wait for the destination to take them.
    pub(super) fn is_held_up(&self) -> bool {
        !self.first.is_empty() || self.buffer.as_ref().is_some_and(|buffer| !buffer.pending().is_empty())
    }

    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        destination: &TcpStream,
        opposite: State,
        mut watch: impl FnMut(&[u8]),
    ) -> Poll<Result<(), Broken>> {
        loop {
            if ready!(self.poll_drain(cx, destination)).is_err() {
                return Poll::Ready(Err(Broken::Destination));
            }
            if let Some(end) = self.last {
                return Poll::Ready(end);
            }
            if ready!(self.poll_fill(cx, source, opposite)).is_err() {
                return Poll::Ready(Err(Broken::Source));
            }
            if let Some(buffer) = &self.buffer {
                watch(buffer.pending());
            }
        }
    }

    /// Reads the next bytes; the buffer is borrowed only once there are some. Where the opposite direction has ended,
    /// nothing but the end is expected.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        opposite: State,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(source.poll_read_ready(cx))?;
            if matches!(opposite, State::Ended(_)) && has_ended(source) && self.meets_end(source) {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = Buffer::borrow();
            self.urgent = urgent::is_next(source);
            let space = buffer.space();
            let room = if self.urgent { 1 } else { space.len() };
            match source.try_read(&mut space[..room]) {
                Ok(0) => self.last = Some(Ok(())),
                Ok(count) => {
                    // Of a source that has ended everything is here: a read that leaves room has left either nothing
                    // but the end, or what begins with an urgent byte.
                    if !self.urgent && count < room && has_ended(source) {
                        self.meets_end(source);
                    }
                    buffer.filled(count);
                    self.buffer = Some(buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            return Poll::Ready(Ok(()));
        }
    }

    /// Whether nothing but the end is left of a source that has ended, which is noted: so its last bytes and its end
    /// can be told together. Bytes stay where they are; whether the first of them is urgent need not be known for this.
    fn meets_end(&mut self, source: &TcpStream) -> bool {
        let peeked =
            source.try_io(Interest::READABLE, || SockRef::from(source).peek(&mut [MaybeUninit::uninit()]));
        self.last = match peeked {
            Ok(0) => Some(Ok(())),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Err(Broken::Source)),
        };
        self.last.is_some()
    }

    /// Writes everything that was read.
    fn poll_drain(&mut self, cx: &mut Context<'_>, destination: &TcpStream) -> Poll<io::Result<()>> {
        while !self.first.is_empty() {
            let n = ready!(poll_send(cx, destination, || send_at_once(destination, &self.first)))?;
            self.first.advance(n);
            self.moved += n as u64;
            if self.first.is_empty() {
                // Even an empty one holds what it was cut from, for as long as the flow lives.
                self.first = Bytes::new();
            }
        }
        if let Some(buffer) = &mut self.buffer {
            while !buffer.pending().is_empty() {
                let bytes = buffer.pending();
                let n = if self.urgent {
                    ready!(poll_send(cx, destination, || urgent::try_send(destination, bytes)))?
                } else if self.last == Some(Ok(())) {
                    ready!(poll_send(cx, destination, || try_send_last(destination, bytes)))?
                } else {
                    ready!(poll_write(cx, destination, bytes))?
                };
                buffer.consume(n);
                self.moved += n as u64;
            }
            self.buffer = None;
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether the peer has announced the end of its bytes, which may not all have been read.
fn has_ended(source: &TcpStream) -> bool {
    source
        .ready(Interest::READABLE)
        .now_or_never()
        .is_some_and(|ready| ready.is_ok_and(Ready::is_read_closed))
}

/// Writes bytes that an end follows: they wait for it, to leave in one segment with it.
fn try_send_last(destination: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let socket = SockRef::from(destination);
    destination.try_io(Interest::WRITABLE, || socket.send_with_flags(bytes, libc::MSG_MORE))
}

/// Writes to a connection that may have been made a moment ago: it takes bytes before the runtime has heard of it.
fn send_at_once(destination: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match destination.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => SockRef::from(destination).send(bytes),
        result => result,
    }
}

fn poll_write(cx: &mut Context<'_>, destination: &TcpStream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    poll_send(cx, destination, || destination.try_write(bytes))
}

fn poll_send(
    cx: &mut Context<'_>,
    destination: &TcpStream,
    mut send: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(destination.poll_write_ready(cx))?;
            }
            result => return Poll::Ready(result),
        }
    }
}
