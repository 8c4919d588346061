// SPDX-License-Identifier: Apache-2.0
//! The only `connect()` of the program.
//!
//! Every upstream connection is made here, on a socket that belongs to the flow's network namespace and that is
//! marked before it connects, so that the kernel programs never intercept the proxy itself. Nothing else in the
//! crate may connect a TCP socket: an unmarked one could loop back into the listener.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use socket2::Socket;
use tokio::time::{Instant, sleep, timeout};

use super::source::{Source, SourceNotes};
use super::{exhaustion, urgent};
use crate::kernel::KernelMaps;

pub use failure::{DialError, DialFailure};

mod failure;

/// Makes stream sockets inside one network namespace.
pub trait Sockets: Send + Sync {
    /// Returns a new, non-blocking, close-on-exec TCP socket of the address family of `dst`.
    fn stream_socket(&self, dst: SocketAddr) -> BoxFuture<'_, io::Result<OwnedFd>>;
}

/// Marks a socket so that its `connect()` passes the kernel programs untouched.
pub trait SocketMark: Send + Sync {
    /// Marks `socket`; must be called before it connects.
    fn mark(&self, socket: BorrowedFd<'_>) -> io::Result<()>;

    /// Lets all sockets of this process pass, which has this id in the initial pid namespace. They need no mark then,
    /// each of which is a system call.
    fn recognise(&self, pid: u32) -> io::Result<()>;
}

/// Connects to upstreams.
#[derive(Clone)]
pub struct Dialer {
    mark: Arc<dyn SocketMark>,
    notes: Arc<dyn SourceNotes>,
}

impl Dialer {
    /// A dialer whose sockets are marked by `mark`; `notes` is told from which addresses destinations are reached.
    pub fn new(mark: Arc<dyn SocketMark>, notes: Arc<dyn SourceNotes>) -> Self {
        Self { mark, notes }
    }

    /// A dialer for programs that no kernel program intercepts (tests in process).
    pub fn unmarked() -> Self {
        Self::new(Arc::new(Unmarked), Arc::new(Unmarked))
    }

    /// Learns the id of this process, as the kernel programs see it: a namespace may hide it from the process itself.
    pub fn learn_pid(&self, pid: u32) {
        if let Err(error) = self.mark.recognise(pid) {
            tracing::debug!(%error, "the kernel side cannot be told of this process: its sockets are marked one by one");
        }
    }

    /// Connects to `dst` from the namespace of `sockets`, for at most `limit`, as if `source` did. The socket is
    /// non-blocking and known to no event loop: the one who dials need not be the one who uses it.
    pub async fn dial(
        &self,
        sockets: &dyn Sockets,
        source: &Source,
        dst: SocketAddr,
        limit: Duration,
    ) -> Result<TcpStream, DialError> {
        self.dial_with(sockets, source, dst, limit, limit).await
    }

    /// The same for a caller who asks again by itself: a machine that has no descriptors to give fails it at once, so
    /// that it is counted.
    pub async fn dial_or_tell(
        &self,
        sockets: &dyn Sockets,
        source: &Source,
        dst: SocketAddr,
        limit: Duration,
    ) -> Result<TcpStream, DialError> {
        self.dial_with(sockets, source, dst, limit, Duration::ZERO).await
    }

    async fn dial_with(
        &self,
        sockets: &dyn Sockets,
        source: &Source,
        dst: SocketAddr,
        limit: Duration,
        patience: Duration,
    ) -> Result<TcpStream, DialError> {
        let attempt = async {
            let socket = socket(sockets, dst, patience).await?;
            self.mark.mark(std::os::fd::AsFd::as_fd(&socket))?;
            let socket = Socket::from(socket);
            socket.set_tcp_nodelay(true)?;
            urgent::read_in_place(&socket)?;
            source.prepare(&socket, dst);
            if let Err(refused) = start(&socket, dst) {
                return Ok(Err(refused));
            }
            let stream = finish(socket).await?;
            source.note(&*self.notes, &stream, dst);
            Ok(Ok(stream))
        };
        match timeout(limit, attempt).await {
            Ok(Ok(Ok(stream))) => Ok(stream),
            Ok(Ok(Err(source))) => {
                Err(DialError { dst, failure: DialFailure::from(&source).before_asking(), source })
            }
            Ok(Err(source)) => Err(DialError { dst, failure: DialFailure::from(&source), source }),
            Err(_) => Err(DialError {
                dst,
                failure: DialFailure::TimedOut,
                source: io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")),
            }),
        }
    }
}

/// Makes a socket, as soon as the machine has one to give; its failure is never the destination's.
async fn socket(sockets: &dyn Sockets, dst: SocketAddr, patience: Duration) -> io::Result<OwnedFd> {
    let started = Instant::now();
    loop {
        match sockets.stream_socket(dst).await {
            Err(error) if exhaustion::is(&error) && started.elapsed() + exhaustion::PAUSE < patience => {
                sleep(exhaustion::PAUSE).await;
            }
            made => return made,
        }
    }
}

/// Begins to connect a non-blocking socket; an error is this machine's own, or of a destination on it.
fn start(socket: &Socket, dst: SocketAddr) -> io::Result<()> {
    let called = match socket.connect(&dst.into()) {
        // A kernel that cannot relax was never told a port, and its answer stands.
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) && Source::relax(socket).is_ok() => {
            socket.connect(&dst.into())
        }
        called => called,
    };
    called.or_else(|error| if error.raw_os_error() == Some(libc::EINPROGRESS) { Ok(()) } else { Err(error) })
}

/// Waits until a socket is connected. A destination on this host has usually answered before the call returned: an
/// event loop would only be in the way.
async fn finish(socket: Socket) -> io::Result<TcpStream> {
    // Not SO_ERROR, which also tells of an ICMP error that the kernel itself does not believe yet (`sk_err_soft`).
    if socket.peer_addr().is_ok() {
        return Ok(socket.into());
    }
    let stream = tokio::net::TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.into_std(),
    }
}

/// Makes a connected socket one of the calling thread's event loop.
pub fn use_here(stream: TcpStream, dst: SocketAddr) -> Result<tokio::net::TcpStream, DialError> {
    tokio::net::TcpStream::from_std(stream).map_err(|source| DialError {
        dst,
        failure: DialFailure::Local,
        source,
    })
}

/// Sockets of the calling thread's own network namespace.
pub struct LocalSockets;

impl Sockets for LocalSockets {
    fn stream_socket(&self, dst: SocketAddr) -> BoxFuture<'_, io::Result<OwnedFd>> {
        Box::pin(std::future::ready(new_stream_socket(dst)))
    }
}

/// Makes a non-blocking, close-on-exec TCP socket in the calling thread's network namespace.
pub fn new_stream_socket(dst: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(
        socket2::Domain::for_address(dst),
        socket2::Type::STREAM.nonblocking().cloexec(),
        Some(socket2::Protocol::TCP),
    )?;
    Ok(socket.into())
}

impl SourceNotes for KernelMaps {
    fn note_source(&self, netns_cookie: u64, destination: IpAddr, source: IpAddr) {
        if let Err(error) = self.set_source(netns_cookie, destination, source) {
            tracing::debug!(%error, "the address from which a destination is reached cannot be noted");
        }
    }
}

impl SocketMark for KernelMaps {
    fn mark(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.is_recognised() {
            return Ok(());
        }
        self.mark_bypass(socket).map_err(io::Error::other)
    }

    fn recognise(&self, pid: u32) -> io::Result<()> {
        self.recognise(pid).map_err(io::Error::other)
    }
}

struct Unmarked;

impl SocketMark for Unmarked {
    fn mark(&self, _socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn recognise(&self, _pid: u32) -> io::Result<()> {
        Ok(())
    }
}

impl SourceNotes for Unmarked {
    fn note_source(&self, _netns_cookie: u64, _destination: IpAddr, _source: IpAddr) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has no descriptor to give the first three times.
    #[derive(Default)]
    struct Exhausted(std::sync::atomic::AtomicU32);

    impl Sockets for Exhausted {
        fn stream_socket(&self, dst: SocketAddr) -> BoxFuture<'_, io::Result<OwnedFd>> {
            if self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3 {
                let exhausted = io::Error::from_raw_os_error(libc::EMFILE);
                return Box::pin(std::future::ready(Err(exhausted)));
            }
            LocalSockets.stream_socket(dst)
        }
    }

    #[tokio::test]
    async fn a_dial_waits_for_a_descriptor() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let dst = listener.local_addr().expect("local address");
        let limit = Duration::from_secs(10);
        let source = Source::new(([127, 0, 0, 1], 5).into(), 1);
        Dialer::unmarked()
            .dial(&Exhausted::default(), &source, dst, limit)
            .await
            .expect("as soon as there is one");
        let error = Dialer::unmarked().dial(&Exhausted::default(), &source, dst, exhaustion::PAUSE).await;
        assert_eq!(error.expect_err("not for ever").failure, DialFailure::Local);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let dst = listener.local_addr().expect("local address");
        drop(listener);
        let source = Source::new(([127, 0, 0, 1], 5).into(), 1);
        let error = Dialer::unmarked()
            .dial(&LocalSockets, &source, dst, Duration::from_secs(1))
            .await
            .expect_err("closed");
        assert_eq!(error.failure, DialFailure::Refused);
        assert_eq!(error.to_string(), format!("connect to {dst} failed"));
    }
}
