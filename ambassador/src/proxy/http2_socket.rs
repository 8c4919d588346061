// SPDX-License-Identifier: Apache-2.0
//! The program's socket of an HTTP/2 flow, with what detection has read of it in front.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

use crate::{
    http1::wire,
    http2::{ending::Wish, link::Link},
    telemetry::WireBytes,
};

/// A program's socket. When it is dropped it is reset, if that is what its flow's ending asks for.
pub(super) struct Socket {
    stream: TcpStream,
    prefix: BytesMut,
    link: Arc<Link>,
    /// The program has not ended its side yet; for whom the socket is kept then.
    farewell: Option<oneshot::Sender<socket2::Socket>>,
    bytes: WireBytes,
}

/// What is left of a socket whose program may still send.
pub(super) struct Farewell(oneshot::Receiver<socket2::Socket>);

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        prefix: BytesMut,
        link: Arc<Link>,
        bytes: WireBytes,
    ) -> (Self, Farewell) {
        let (kept, farewell) = oneshot::channel();
        bytes.sent(prefix.len());
        (Self { stream, prefix, link, farewell: Some(kept), bytes }, Farewell(farewell))
    }
}

impl Farewell {
    /// Sends FIN and waits a little for the program to end its side. The socket must have been dropped.
    pub(super) async fn take(mut self) {
        let Ok(socket) = self.0.try_recv() else { return };
        // It fails only if the process has no descriptor left: then the end is a sudden one.
        if let Ok(stream) = TcpStream::from_std(socket.into()) {
            wire::shutdown_write(&stream);
            wire::drain(&stream).await;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.link.ending.wish() == Some(Wish::Reset) {
            return wire::reset_on_close(&self.stream);
        }
        if let Some(farewell) = self.farewell.take()
            && let Ok(socket) = SockRef::from(&self.stream).try_clone()
        {
            // Fails only if the whole flow is being dropped.
            let _ = farewell.send(socket);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            let before = buf.filled().len();
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
            let count = buf.filled().len() - before;
            if read.is_err() || count == 0 {
                self.farewell = None;
            }
            self.bytes.sent(count);
            return Poll::Ready(read);
        }
        let count = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            self.prefix = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(written.inspect(|count| self.bytes.received(*count)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(written.inspect(|count| self.bytes.received(*count)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
