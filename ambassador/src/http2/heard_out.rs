// SPDX-License-Identifier: Apache-2.0
//! A socket that is read to its end although nothing can be written to it any more.
//!
//! A peer that has said its last and is gone (a reset with its code, a complete reply, a GOAWAY) makes writes to it
//! fail before what it said is read. `h2` gives a connection up with the first write that fails; here such a write
//! passes for done, and the connection ends as its reading side does. No write that could still arrive is lost by
//! that.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket whose peer is heard out.
pub(crate) struct HeardOut<S> {
    socket: S,
    peer: Peer,
}

enum Peer {
    Listening,
    /// A write has failed with this kind.
    Gone(io::ErrorKind),
}

impl<S> HeardOut<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, peer: Peer::Listening }
    }
}

impl<S: AsyncWrite + Unpin> HeardOut<S> {
    /// Writes `length` bytes by `write`, or nowhere if the peer is gone.
    fn poll_unless_gone(
        &mut self,
        length: usize,
        write: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Peer::Listening = self.peer {
            match ready!(write(Pin::new(&mut self.socket))) {
                Err(error) if is_gone(&error) => self.peer = Peer::Gone(error.kind()),
                written => return Poll::Ready(written),
            }
        }
        Poll::Ready(Ok(length))
    }
}

/// The errors of a connection that the peer has ended; what it has sent can still be read.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

impl<S: AsyncRead + Unpin> AsyncRead for HeardOut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        match self.peer {
            // The failed write has taken the error that the kernel had for whoever asked first.
            Peer::Gone(io::ErrorKind::ConnectionReset) if buf.filled().len() == before => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeardOut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_unless_gone(buf.len(), |socket| socket.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_unless_gone(length, |socket| socket.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.peer {
            Peer::Listening => Pin::new(&mut self.socket).poll_shutdown(cx),
            Peer::Gone(_) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpSocket, TcpStream},
    };

    use super::*;

    /// A socket whose peer has said `last`, and then done what `leave` says before it reset the connection.
    async fn left(leave: impl FnOnce(&SockRef<'_>)) -> HeardOut<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let socket = TcpSocket::new_v4().expect("socket").connect(address).await.expect("connect");
        let (mut peer, _) = listener.accept().await.expect("accept");
        peer.write_all(b"last").await.expect("last words");
        let end = SockRef::from(&peer);
        leave(&end);
        end.set_linger(Some(Duration::ZERO)).expect("a reset when it is dropped");
        HeardOut::new(socket)
    }

    #[tokio::test]
    async fn a_peer_that_has_reset_the_connection_is_heard_out() {
        let mut socket = left(|_| {}).await;
        socket.write_all(b"one").await.expect("the write passes for done");
        socket.write_all(b"two").await.expect("and so do later ones");
        let mut words = [0; 4];
        socket.read_exact(&mut words).await.expect("last words");
        assert_eq!(&words, b"last");
        let end = socket.read(&mut words).await.map_err(|error| error.kind());
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset), "the end is told for what it was");
        socket.shutdown().await.expect("nothing is left to shut");
    }

    #[tokio::test]
    async fn a_peer_that_had_ended_before_has_ended_in_order() {
        let mut socket = left(|end| end.shutdown(std::net::Shutdown::Write).expect("FIN")).await;
        socket.write_all(b"one").await.expect("the write passes for done");
        let mut words = Vec::new();
        socket.read_to_end(&mut words).await.expect("a clean end");
        assert_eq!(words, b"last");
    }
}
