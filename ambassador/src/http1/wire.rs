// SPDX-License-Identifier: Apache-2.0
//! Reads and writes of HTTP/1 sockets.
//!
//! Where a message ends with a read that had room for more, the runtime is told that the socket is empty, which saves the
//! system call that would only say so. A short read alone is no sign of that: it also ends before urgent data. Heads are read into one buffer per worker, so that an idle connection holds
//! none. The kernel is called without the C library, which would prepare each call for being cancelled. Everything takes
//! `&TcpStream`, because a request's body and its reply use the two directions at once.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Room for most messages in one read.
const SCRATCH_BYTES: usize = 32 * 1024;
/// Up to this size two pieces are copied to be sent as one.
const JOINED_MOST: usize = 2 * 1024;
/// What one read of a body may take.
const BODY_READ_BYTES: usize = 64 * 1024;

/// Whether more may be there already, behind what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It may: the message goes on.
    More,
    /// Hardly: the message has ended.
    Nothing,
}

/// Reads what has arrived and hands it to `use_it`, which says what is behind it; an empty slice is the end of the stream.
pub(crate) fn poll_read<T>(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    use_it: impl FnOnce(&[u8]) -> (T, Behind),
) -> Poll<io::Result<T>> {
    let mut use_it = Some(use_it);
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let mut read = None;
            let outcome = stream.try_io(Interest::READABLE, || {
                let (count, _) = net::recv(stream, &mut scratch[..], RecvFlags::empty())?;
                let used = use_it.take().map(|use_it| use_it(&scratch[..count]));
                let is_empty = matches!(used, Some((_, Behind::Nothing)));
                read = used.map(|(value, _)| value);
                if count > 0 && count < scratch.len() && is_empty {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            });
            match (read, outcome) {
                (Some(value), _) => return Poll::Ready(Ok(value)),
                (None, Err(error)) if is_retriable(&error) => {}
                (None, Err(error)) => return Poll::Ready(Err(error)),
                (None, Ok(())) => {}
            }
        }
    })
}

/// Reads a piece of a body into the free room of `buffer`, which is borrowed only when something has arrived.
pub(crate) fn poll_read_body(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    loop {
        match stream.poll_read_ready(cx)? {
            Poll::Ready(()) => buffer.reserve(BODY_READ_BYTES),
            Poll::Pending => {
                if buffer.is_empty() {
                    *buffer = BytesMut::new();
                }
                return Poll::Pending;
            }
        }
        match stream.try_read_buf(buffer) {
            Err(error) if is_retriable(&error) => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// What follows the bytes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// More of them, sooner or later.
    Bytes,
    /// The end of the stream, at once: the bytes wait for it, to leave in one segment with it.
    End,
}

/// Writes `head` from `written` on, then `rest`, as far as possible in one call.
pub(crate) fn poll_write(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    head: &[u8],
    written: &mut usize,
    rest: &mut Bytes,
    follows: Follows,
) -> Poll<io::Result<()>> {
    let more = if follows == Follows::End { SendFlags::MORE } else { SendFlags::empty() };
    let flags = SendFlags::NOSIGNAL | more;
    loop {
        let first = &head[*written..];
        if first.is_empty() && rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let send = || match (first.is_empty(), rest.is_empty()) {
            (false, false) if first.len() + rest.len() <= JOINED_MOST => {
                send_joined(stream, first, rest, flags)
            }
            (false, false) => {
                let pieces = [IoSlice::new(first), IoSlice::new(rest)];
                Ok(net::sendmsg(stream, &pieces, &mut SendAncillaryBuffer::default(), flags)?)
            }
            (false, true) => Ok(net::send(stream, first, flags)?),
            (true, _) => Ok(net::send(stream, rest, flags)?),
        };
        // Nearly always there is room, and nobody need be woken.
        let outcome = match stream.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match stream.poll_write_ready(cx)? {
                Poll::Ready(()) => continue,
                // A connection that was made a moment ago takes bytes before the runtime has heard of it.
                Poll::Pending if *written == 0 && !first.is_empty() => match send() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                    outcome => outcome,
                },
                Poll::Pending => return Poll::Pending,
            },
            outcome => outcome,
        };
        match outcome {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                let of_head = count.min(first.len());
                *written += of_head;
                rest.advance(count - of_head);
            }
            Err(error) if is_retriable(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Sends two short pieces as one, which costs the kernel less than to be told of two.
fn send_joined(stream: &TcpStream, first: &[u8], rest: &[u8], flags: SendFlags) -> io::Result<usize> {
    SCRATCH.with_borrow_mut(|scratch| {
        let joined = &mut scratch[..first.len() + rest.len()];
        let (head, body) = joined.split_at_mut(first.len());
        head.copy_from_slice(first);
        body.copy_from_slice(rest);
        Ok(net::send(stream, joined, flags)?)
    })
}

/// What can be told of an idle connection without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Open, and nothing has arrived.
    Quiet,
    /// Ended, or something has arrived that nobody asked for.
    Spent,
    /// Reset, or failed otherwise.
    Failed,
}

/// Looks whether an idle connection is still usable: by what the runtime has learnt of it, and if `ask_kernel` by
/// one peek.
pub(crate) fn idle_state(stream: &TcpStream, ask_kernel: AskKernel) -> Idle {
    let socket = SockRef::from(stream);
    let peek = || {
        let mut byte = [MaybeUninit::uninit(); 1];
        socket.peek(&mut byte)
    };
    // Only an unread event lets `try_io` call its closure; `WouldBlock` from it clears the event.
    let seen = stream.try_io(Interest::READABLE, peek);
    let outcome = match (seen, ask_kernel) {
        (Err(error), AskKernel::Yes) if error.kind() == io::ErrorKind::WouldBlock => peek(),
        (seen, _) => seen,
    };
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Idle::Quiet,
        Ok(_) => Idle::Spent,
        Err(_) => Idle::Failed,
    }
}

/// Whether an idle connection is worth a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskKernel {
    /// It has been idle for long, or what it will carry cannot be repeated.
    Yes,
    /// The runtime's knowledge is fresh.
    No,
}

/// Reads and drops what still arrives until the peer ends its side, so that closing does not reset what it has not read
/// yet (RFC 9112 §9.6).
pub(crate) async fn drain(stream: &TcpStream) {
    let drained = async {
        while let Ok(1..) = poll_fn(|cx| poll_read(stream, cx, |bytes| (bytes.len(), Behind::More))).await {}
    };
    // The limit is the end of a courtesy, not an error.
    let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
}

/// How long the end of a peer's side is awaited after the last word to it.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Makes the close of `stream` a reset, so that its peer never takes it for a clean end.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // Fails only on a socket that is already gone.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Sends FIN; more can still be read.
pub(crate) fn shutdown_write(stream: &TcpStream) {
    // Fails only on a socket that is already gone.
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

fn is_retriable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test is a client")]
    async fn a_connection_that_was_just_made_is_written_to_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let made = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        made.set_nonblocking(true).expect("an option");
        let stream = TcpStream::from_std(made).expect("a runtime");
        let (mut written, mut rest) = (0, Bytes::from_static(b"body"));
        let mut write = |cx: &mut Context<'_>| {
            poll_write(&stream, cx, b"head ", &mut written, &mut rest, Follows::Bytes)
                .map(|written| written.is_ok())
        };
        assert_eq!(poll_fn(|cx| Poll::Ready(write(cx))).await, Poll::Ready(true));
        let mut got = [0; 9];
        listener.accept().expect("accept").0.read_exact(&mut got).expect("bytes");
        assert_eq!(&got, b"head body");
    }
}
