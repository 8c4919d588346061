// SPDX-License-Identifier: Apache-2.0
//! The taps over a socket that gives and takes as a test says: what they do must not depend on where a stream of frames
//! is cut, and what they keep is bounded.

mod bounds;
mod cuts;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{link::Link, tap::Tap, tapped::Tapped};

/// A socket whose peer says given pieces, with a pause before each, and takes so many bytes at a time, after a pause.
struct Scripted {
    arriving: VecDeque<Vec<u8>>,
    takes: usize,
    taken: Taken,
    rests: bool,
}

/// What the peer has been sent.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Taken {
    fn all(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Scripted {
    fn saying(pieces: &[&[u8]]) -> Self {
        let arriving = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect();
        Self { arriving, takes: usize::MAX, taken: Taken::default(), rests: false }
    }

    fn taking(takes: usize) -> Self {
        Self { takes, ..Self::saying(&[]) }
    }

    /// Every other time nothing happens.
    fn rest(&mut self) -> Poll<()> {
        self.rests = !self.rests;
        if self.rests { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.rest());
        let Some(mut piece) = self.arriving.pop_front() else { return Poll::Ready(Ok(())) };
        let rest = piece.split_off(piece.len().min(buf.remaining()));
        buf.put_slice(&piece);
        if !rest.is_empty() {
            self.arriving.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.rest());
        let count = buf.len().min(self.takes);
        self.taken.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Calls `poll` until it is ready, with a turn of the streams in between.
fn until_ready<T>(link: &Link, mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(done) = poll(&mut cx) {
            return done.expect("the socket does not fail");
        }
        link.turn();
    }
    panic!("it waits for ever");
}

/// All that `h2` gets.
fn read<T: Tap + Unpin>(tapped: &mut Tapped<Scripted, T>, link: &Link) -> Vec<u8> {
    let mut got = Vec::new();
    let mut space = vec![0; 32 * 1024];
    loop {
        let count = until_ready(link, |cx| {
            let mut buf = ReadBuf::new(&mut space);
            Pin::new(&mut *tapped).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
        });
        if count == 0 {
            return got;
        }
        got.extend_from_slice(&space[..count]);
    }
}

/// Lets `h2` say `bytes`, and flush.
fn write<T: Tap + Unpin>(tapped: &mut Tapped<Scripted, T>, link: &Link, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = until_ready(link, |cx| Pin::new(&mut *tapped).poll_write(cx, bytes));
        bytes = &bytes[count..];
    }
    until_ready(link, |cx| Pin::new(&mut *tapped).poll_flush(cx));
}

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
