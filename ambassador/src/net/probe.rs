// SPDX-License-Identifier: Apache-2.0
//! [`Probe`]: a socket that connects as a program of the intercepted cgroup would, to see whether it is intercepted.
//!
//! A socket belongs for ever to the cgroup that its maker was in. So the proxy makes these while it is in CMD's cgroup
//! for a moment, and later connects them from where it is: they meet the very attachments that CMD's connects meet, and
//! no process of the proxy's is ever seen in CMD's cgroup. Between tests a probe is disconnected, not closed.
//!
//! It must never reach anybody but the proxy. The sentinels are addresses that may not be dialled (RFC 7600, RFC 9780),
//! and the sockets are bound to loopback, so that a connect which is not redirected fails on this machine, at once.
#![allow(unsafe_code, reason = "no safe wrapper disconnects a socket (AF_UNSPEC), or makes such an address")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout},
};

/// What a probe dials over IPv4: the dummy address of RFC 7600.
pub const SENTINEL_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)), PORT);

/// What a probe dials over IPv6: of the dummy prefix of RFC 9780.
pub const SENTINEL_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 8)), PORT);

/// `discard`, of which nothing is expected.
const PORT: u16 = 9;

/// What the proxy answers a probe with: only this process knows it.
pub type Token = [u8; 16];

/// A socket of the intercepted cgroup.
#[derive(Debug)]
pub struct Probe {
    socket: Socket,
    sentinel: SocketAddr,
    cookie: u64,
}

/// What a probe's connect came to, other than the proxy's answer.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The connect went the direct way, which ends on this machine.
    #[error(
        "the connect to {sentinel} failed at once: it was not redirected, or `lo` is down there (ip link set lo up)"
    )]
    NotRedirected {
        /// What was dialled.
        sentinel: SocketAddr,
        /// What the direct connect came to.
        #[source]
        source: io::Error,
    },
    /// It was redirected, and failed.
    #[error("the connect to {sentinel} was redirected, and failed")]
    Failed {
        /// What was dialled.
        sentinel: SocketAddr,
        /// How.
        #[source]
        source: io::Error,
    },
    /// Nothing came within the time.
    #[error(
        "the connect to {sentinel} was not answered within {limit:.1?}: does a firewall drop packets on `lo`, or is it \
         down (ip link set lo up)?"
    )]
    Silent {
        /// What was dialled.
        sentinel: SocketAddr,
        /// How long it was waited.
        limit: Duration,
    },
    /// It was accepted by the kernel, but nobody came to it within the time: too many connections are open.
    #[error("the connect to {sentinel} succeeded, but nobody answered it within {limit:.1?}")]
    Unanswered {
        /// What was dialled.
        sentinel: SocketAddr,
        /// How long it was waited.
        limit: Duration,
    },
    /// This process could not ask: descriptors or memory are exhausted.
    #[error("the connect to {sentinel} could not be made")]
    Local {
        /// What was to be dialled.
        sentinel: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else answered.
    #[error("the connect to {sentinel} was answered by somebody else")]
    Stranger {
        /// What was dialled.
        sentinel: SocketAddr,
    },
    /// `getpeername()` tells the truth that programs must not see.
    #[error("getpeername() of a connection to {sentinel} names {peer}")]
    PeerName {
        /// What was dialled.
        sentinel: SocketAddr,
        /// What it says.
        peer: SocketAddr,
    },
}

impl ProbeError {
    /// Whether it says that connects do not arrive; a busy proxy does not.
    pub fn is_conclusive(&self) -> bool {
        !matches!(self, Self::Unanswered { .. } | Self::Local { .. })
    }
}

impl Probe {
    /// Makes a socket in the calling thread's cgroup and network namespace. Fails where the family has no loopback.
    pub fn open(sentinel: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(sentinel), Type::STREAM.nonblocking().cloexec(), None)?;
        let loopback: IpAddr = match sentinel {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => {
                // Of IPv6 the kernel would send packets of `::1` to a router.
                socket.bind_device(Some(b"lo"))?;
                Ipv6Addr::LOCALHOST.into()
            }
        };
        socket.bind(&SocketAddr::new(loopback, 0).into())?;
        let cookie = socket.cookie()?;
        Ok(Self { socket, sentinel, cookie })
    }

    /// What it dials.
    pub fn sentinel(&self) -> SocketAddr {
        self.sentinel
    }

    /// Its socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What the kernel programs know it by.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Connects and waits for the answer; how long it took. Needs a runtime, and nobody else asking meanwhile.
    pub async fn ask(&self, token: &Token, limit: Duration) -> Result<Duration, ProbeError> {
        let started = Instant::now();
        let asked = timeout(limit, self.exchange(token)).await;
        let (sentinel, is_connected) = (self.sentinel, self.socket.peer_addr().is_ok());
        let _ = self.disconnect();
        match asked {
            Ok(answer) => answer.map(|()| started.elapsed()),
            Err(_) if is_connected => Err(ProbeError::Unanswered { sentinel, limit }),
            Err(_) => Err(ProbeError::Silent { sentinel, limit }),
        }
    }

    async fn exchange(&self, token: &Token) -> Result<(), ProbeError> {
        let sentinel = self.sentinel;
        let not_redirected = |source| ProbeError::NotRedirected { sentinel, source };
        let failed = |source| ProbeError::Failed { sentinel, source };
        let local = |source| ProbeError::Local { sentinel, source };
        self.disconnect().map_err(local)?;
        match self.socket.connect(&sentinel.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(not_redirected(error));
            }
            _ => {}
        }
        let stream: TcpStream = self.socket.try_clone().map_err(local)?.into();
        let mut stream = tokio::net::TcpStream::from_std(stream).map_err(local)?;
        stream.writable().await.map_err(failed)?;
        if let Some(error) = stream.take_error().map_err(failed)? {
            return Err(failed(error));
        }
        let peer = stream.peer_addr().map_err(failed)?;
        if peer != sentinel {
            return Err(ProbeError::PeerName { sentinel, peer });
        }
        let mut answer = Token::default();
        stream.read_exact(&mut answer).await.map_err(failed)?;
        if answer == *token { Ok(()) } else { Err(ProbeError::Stranger { sentinel }) }
    }

    /// Back to a socket that is connected to nothing, whatever it was.
    fn disconnect(&self) -> io::Result<()> {
        let nowhere = libc::sockaddr {
            sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).map_err(io::Error::other)?,
            sa_data: [0; 14],
        };
        let length = libc::socklen_t::try_from(size_of_val(&nowhere)).map_err(io::Error::other)?;
        // SAFETY: the address lives through the call and is as long as it says.
        let result = unsafe { libc::connect(self.socket.as_raw_fd(), &raw const nowhere, length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_that_nobody_redirects_says_so_at_once_and_again() {
        for sentinel in [SENTINEL_V4, SENTINEL_V6] {
            let probe = Probe::open(sentinel).expect("loopback");
            for _ in 0..2 {
                let asked = probe.ask(&[7; 16], Duration::from_secs(5)).await;
                assert!(matches!(asked, Err(ProbeError::NotRedirected { .. })), "{sentinel}: {asked:?}");
            }
        }
    }
}
