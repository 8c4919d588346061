// SPDX-License-Identifier: Apache-2.0
//! The destinations of the virtual machine, all on addresses of its loopback device that are no loopback addresses.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket};

/// A witness: to each line it answers the address that it sees.
pub(crate) const V4: &str = "10.77.9.1:7001";
/// The same witness over IPv6.
pub(crate) const V6: &str = "[fd77:9::1]:7001";
/// [`V4`] as a program with an IPv6 socket names it.
pub(crate) const MAPPED: &str = "[::ffff:10.77.9.1]:7001";
/// A witness that the policy denies.
pub(crate) const DENIED: &str = "10.77.9.1:7002";
/// Nobody listens here.
pub(crate) const CLOSED: &str = "10.77.9.1:7003";
/// Nobody listens here either, and its route is eager.
pub(crate) const EAGER: &str = "10.77.9.1:7004";
/// A listener that answers no SYN.
pub(crate) const BLACK_HOLE: &str = "10.77.9.1:7005";
/// A route says that there is no way.
pub(crate) const NO_HOST: &str = "10.99.0.1:80";
/// No route leads there.
pub(crate) const NO_NETWORK: &str = "198.51.100.1:80";

/// Starts the witnesses; they run as long as this program.
pub(crate) fn start_witnesses() -> Result<()> {
    for address in [V4, V6, DENIED] {
        let listener = TcpListener::bind(address).with_context(|| format!("listen at {address}"))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is an ordinary end of a connection.
                std::thread::spawn(move || answer(&stream).ok());
            }
        });
    }
    Ok(())
}

fn answer(mut stream: &TcpStream) -> Result<()> {
    let peer = stream.peer_addr()?;
    for line in BufReader::new(stream).lines() {
        line?;
        stream.write_all(format!("{peer}\n").as_bytes())?;
    }
    Ok(())
}

/// A listener whose queue is full: the kernel drops every further SYN without a word.
pub(crate) struct BlackHole {
    _listener: OwnedFd,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    /// Listens at [`BLACK_HOLE`] and fills the queue.
    pub(crate) fn open() -> Result<Self> {
        let address: SocketAddrV4 = BLACK_HOLE.parse()?;
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Inet, SockType::Stream, flags, None).context("socket")?;
        bind(listener.as_raw_fd(), &SockaddrIn::from(address)).context("bind the black hole")?;
        listen(&listener, Backlog::new(0)?).context("listen at the black hole")?;
        let fill = || TcpStream::connect_timeout(&SocketAddr::V4(address), Duration::from_millis(200)).ok();
        let queue: Vec<TcpStream> = std::iter::from_fn(fill).take(8).collect();
        Ok(Self { _listener: listener, _queue: queue })
    }
}

/// The policy of the run: denied but for what the checks dial.
pub(crate) fn policy() -> String {
    let any = Ipv4Addr::UNSPECIFIED;
    format!(
        "version: v1
outboundTrafficPolicy: Deny
telemetry: {{metrics: {{listen: \"{METRICS}\"}}}}
routes:
  - {{name: eager, match: {{ports: [7004]}}, connect: eager}}
  - {{name: checked, match: {{cidrs: [\"{any}/0\", \"::/0\"], ports: [7001, 7003, 7005, 80]}}}}
"
    )
}

/// Where ambassador serves its metrics.
pub(crate) const METRICS: &str = "127.0.0.1:9464";
