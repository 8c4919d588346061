// SPDX-License-Identifier: Apache-2.0
//! A link with one destination of every kind, at the addresses that `clients/prelude.py` names.
//!
//! It exists so that each suite dials the same open, closed, unreachable, unrouted, prohibited and silent
//! destinations. None of them needs a packet filter or a queueing discipline.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, ensure};

use crate::link::Link;
use crate::listener::TcpPeer;
use crate::namespace::Namespace;

/// The destinations; the open ones tell each client at which address they were reached.
pub struct Destinations {
    /// What they stand on.
    pub link: Link,
    _open: [TcpPeer; 2],
}

impl Destinations {
    /// The port that is open.
    pub const OPEN: u16 = 7000;
    /// The port that is closed.
    pub const CLOSED: u16 = 7001;
    /// An address of the link that nobody has, and whose packets nobody answers.
    pub const BLACK_HOLE: &str = "10.77.0.9";

    /// Makes all of them.
    pub fn new() -> Result<Self> {
        let link = Link::new()?;
        for network in ["10.91.0.0/16", "fd91::/64"] {
            link.client.ip(&format!("route add unreachable {network}"))?;
        }
        for network in ["10.92.0.0/16", "fd92::/64"] {
            link.client.ip(&format!("route add prohibit {network}"))?;
        }
        for network in ["10.93.0.0/16", "fd93::/64"] {
            link.client.ip(&format!("route add blackhole {network}"))?;
        }
        for silent in [Self::BLACK_HOLE, "fd77::9"] {
            let device = Link::DEVICE;
            link.client
                .ip(&format!("neigh add {silent} lladdr 02:00:00:00:00:09 dev {device} nud permanent"))?;
        }
        let open = [teller(&link.server, Link::v4(Self::OPEN))?, teller(&link.server, Link::v6(Self::OPEN))?];
        // The first packets of a new IPv6 link are lost until both sides know each other.
        for address in [Link::v4(Self::CLOSED), Link::v6(Self::CLOSED)] {
            link.client.enter(|| {
                ensure!(TcpStream::connect(address).is_err(), "{address} is not closed");
                Ok(())
            })?;
        }
        Ok(Self { link, _open: open })
    }
}

/// A server that says `ADDRESS PORT` at which it was reached, and closes when the client does.
pub fn teller(namespace: &Namespace, address: SocketAddr) -> Result<TcpPeer> {
    TcpPeer::start(namespace, address, |mut stream, _| {
        let reached = stream.local_addr()?;
        // In one piece: the second of two would wait for the acknowledgement of the first (RFC 896), 40 ms at times.
        stream.write_all(format!("{} {}\n", reached.ip(), reached.port()).as_bytes())?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })
}
