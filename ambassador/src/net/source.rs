// SPDX-License-Identifier: Apache-2.0
//! [`Source`]: from where a dial comes, so that a server sees the address that it would see without ambassador.
//!
//! A program that bound its socket to an address dials from that address, and whoever did not is sent from the one
//! that the kernel chooses for the destination. The program's source port is kept where it is free (Linux 6.3): what
//! `getsockname()` says and what the server sees are then the same. It never makes a dial fail that succeeds without,
//! nor keeps the program from binding a port again that it is done with.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::{
    setsockopt_impl, sockopt_impl,
    sys::socket::{setsockopt, sockopt::IpBindAddressNoPort},
};
use socket2::Socket;
use tokio::time::Instant;

/// The program's end of a connection, as far as a dial for it may take it over.
pub struct Source {
    /// The program's own end, as its kernel has it.
    client: SocketAddr,
    /// The cookie of its network namespace.
    netns_cookie: u64,
    /// The program's port is not dialled from any more, see [`Source::spend_port`].
    port_spent: AtomicBool,
}

/// Who remembers from which address destinations are reached.
pub trait SourceNotes: Send + Sync {
    /// Connections from the network namespace to `destination` leave from `source`.
    fn note_source(&self, netns_cookie: u64, destination: IpAddr, source: IpAddr);
}

impl Source {
    /// The source of the connection whose program's end is `client`.
    pub fn new(client: SocketAddr, netns_cookie: u64) -> Self {
        Self { client, netns_cookie, port_spent: AtomicBool::new(false) }
    }

    /// The address that the program bound its socket to; one that did not gets what leads to a listener on loopback.
    pub fn bound_ip(&self) -> Option<IpAddr> {
        Some(self.client.ip())
            .filter(|ip| ![IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].contains(ip))
    }

    /// The program's port is not to be dialled from: it has been, and a second connection could meet what is left of
    /// the first at the server; or the program bound it, so that it is taken while the program's socket lives, and a
    /// dial that outlives that would be in the way of the next `bind()`.
    pub fn spend_port(&self) {
        self.port_spent.store(true, Ordering::Relaxed);
    }

    /// Makes `socket` dial `dst` from here, as far as that is possible.
    pub(super) fn prepare(&self, socket: &Socket, dst: SocketAddr) {
        // A dial may outlive the program's socket. Without this, a program that binds the same port by hand for its
        // next connection would be told EADDRINUSE, even with SO_REUSEADDR: it counts only where both ends have it.
        if let Err(error) = socket.set_reuse_address(true) {
            tracing::debug!(%error, "a port that is dialled from cannot be shared");
        }
        if let Some(ip) = self.bound_ip().filter(|ip| ip.is_ipv4() == dst.is_ipv4())
            && let Err(error) = bind(socket, ip)
        {
            tracing::debug!(%error, %ip, "a program's own address cannot be dialled from");
        }
        // A socket that dials its own port of its own address is connected with itself.
        if self.client.port() != dst.port() && !self.port_spent.swap(true, Ordering::Relaxed) {
            let port = u32::from(self.client.port());
            // Before Linux 6.3 any port has to do.
            let _ = setsockopt(socket, PortRange, &(port << 16 | port));
        }
    }

    /// Lets `socket` dial from any port, when the program's is not free.
    pub(super) fn relax(socket: &Socket) -> io::Result<()> {
        Ok(setsockopt(socket, PortRange, &0)?)
    }

    /// Tells `notes` from which address `dst` was reached.
    pub(super) fn note(&self, notes: &dyn SourceNotes, stream: &TcpStream, dst: SocketAddr) {
        if self.bound_ip().is_some() || dst.ip().is_loopback() {
            return;
        }
        let place = (self.netns_cookie, dst.ip());
        if is_news(place)
            && let Ok(source) = stream.local_addr()
        {
            notes.note_source(self.netns_cookie, dst.ip(), source.ip());
        }
    }
}

sockopt_impl!(
    /// The ports that `connect()` may choose from: the last one in the upper half, 0 for the system's.
    PortRange,
    SetOnly,
    libc::IPPROTO_IP,
    IP_LOCAL_PORT_RANGE,
    u32
);

fn bind(socket: &Socket, ip: IpAddr) -> io::Result<()> {
    // The port is chosen by connect(), which knows the destination: `bind()` would need one that is free for all.
    setsockopt(socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::new(ip, 0).into())
}

/// Whether it was not noted a moment ago; the kernel may forget what is not used.
fn is_news(place: (u64, IpAddr)) -> bool {
    NOTED.with_borrow_mut(|noted| {
        let now = Instant::now();
        if noted.get(&place).is_some_and(|at| now.duration_since(*at) < NOTED_FOR) {
            return false;
        }
        if noted.len() >= MAX_NOTED {
            noted.clear();
        }
        noted.insert(place, now);
        true
    })
}

thread_local! {
    static NOTED: RefCell<HashMap<(u64, IpAddr), Instant>> = RefCell::default();
}

/// `IP_LOCAL_PORT_RANGE` of `<linux/in.h>` (Linux 6.3), of IPv6 sockets as well.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;
/// How long a note is believed to be there.
const NOTED_FOR: Duration = Duration::from_secs(1);
/// Destinations whose notes a thread remembers.
const MAX_NOTED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_no_address_that_a_program_chose() {
        for (client, want) in [
            ("127.0.0.1:5", None),
            ("[::1]:5", None),
            ("127.0.0.2:5", Some("127.0.0.2")),
            ("10.0.0.1:5", Some("10.0.0.1")),
            ("[fd00::1]:5", Some("fd00::1")),
        ] {
            let source = Source::new(client.parse().expect("an address"), 1);
            assert_eq!(source.bound_ip(), want.map(|ip| ip.parse().expect("an address")), "{client}");
        }
    }
}
