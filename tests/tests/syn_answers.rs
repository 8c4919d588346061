// SPDX-License-Identifier: Apache-2.0
//! Packets that answer a held SYN, before the kernel's own TCP.
//!
//! No kernel program takes part: the SYN is captured by a packet socket, and what holds it is a destination that
//! nobody answers for, or a listener whose classic filter drops everything.

use std::{
    io::Read as _,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use ambassador::{
    host::privileges::drop_all_but,
    net::syn::{Packet, RawSocketError, RawSockets, Syn, Unreachable},
};
use ambassador_tests::{link::Link, wait};
use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Addresses of the link's networks that nobody has.
const NOBODY: [&str; 2] = ["10.77.0.9", "fd77::9"];

#[test]
fn a_connect_fails_as_it_is_answered() -> Result<()> {
    let link = link_to_nobody()?;
    link.client.enter(|| {
        let (raw, capture) = (RawSockets::open()?, Capture::open()?);
        // Sending needs no capability.
        drop_all_but(&[])?;
        for address in NOBODY {
            let to = SocketAddr::new(address.parse()?, 81);
            let prohibited = if to.is_ipv4() { libc::EHOSTUNREACH } else { libc::EACCES };
            let fails = |answer: &dyn Fn(&Syn) -> Packet| -> Result<Option<i32>> {
                let socket = begin_connect(to)?;
                raw.send(&answer(&capture.syn_of(&socket)?))?;
                end_of(&socket)
            };
            assert_eq!(fails(&|syn| syn.refuse())?, Some(libc::ECONNREFUSED), "{to}");
            for (why, errno) in [
                (Unreachable::Network, libc::ENETUNREACH),
                (Unreachable::Host, libc::EHOSTUNREACH),
                (Unreachable::Port, libc::ECONNREFUSED),
                (Unreachable::AdminProhibited, prohibited),
            ] {
                assert_eq!(fails(&|syn| syn.unreachable(why))?, Some(errno), "{to} {why:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_replayed_syn_connects() -> Result<()> {
    let link = link_to_nobody()?;
    link.client.enter(|| {
        let (raw, capture) = (RawSockets::open()?, Capture::open()?);
        for address in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((address.parse::<IpAddr>()?, 0))?;
            let to = listener.local_addr()?;
            let filter = socket2::SockRef::from(&listener);
            filter.attach_filter(&DROP_ALL)?;
            let socket = begin_connect(to)?;
            let syn = capture.syn_of(&socket)?;
            assert_eq!(syn.dst(), to);
            filter.detach_filter()?;
            raw.send(&syn.replay())?;
            assert_eq!(end_of(&socket)?, None);
            let (_accepted, from) = listener.accept()?;
            assert_eq!(from, syn.src());
            // The first copy was seen twice: when it was sent and when it was received.
            assert_eq!(capture.syn_of(&socket)?, syn);
            assert_eq!(capture.syn_of(&socket)?, syn);
        }
        Ok(())
    })
}

/// A SYN that was let through after its program had gone leaves a half-open connection that answers for the port.
#[test]
fn a_reset_after_allow_removes_the_half_open_connection() -> Result<()> {
    let link = link_to_nobody()?;
    link.client.enter(|| {
        let (raw, capture) = (RawSockets::open()?, Capture::open()?);
        for (address, nobody) in [("10.77.0.1", NOBODY[0]), ("fd77::1", NOBODY[1])] {
            let listener = TcpListener::bind((address.parse::<IpAddr>()?, 0))?;
            let socket = begin_connect(SocketAddr::new(nobody.parse()?, 81))?;
            let syn = turned_to(listener.local_addr()?, &capture.syn_of(&socket)?)?;
            raw.send(&syn.replay())?;
            wait_for_half_open(1)?;
            raw.send(&syn.reset_after_allow())?;
            wait_for_half_open(0)?;
        }
        Ok(())
    })
}

#[test]
fn a_missing_capability_is_named() -> Result<()> {
    let link = Link::new()?;
    link.client.enter(|| {
        drop_all_but(&[])?;
        match RawSockets::open() {
            Err(error @ RawSocketError::MissingCapability(_)) => {
                assert!(error.to_string().contains("CAP_NET_RAW"));
                Ok(())
            }
            other => bail!("{other:?}"),
        }
    })
}

/// A link whose client believes that [`NOBODY`] is there.
fn link_to_nobody() -> Result<Link> {
    let link = Link::new()?;
    for address in NOBODY {
        link.client.ip(&format!(
            "neigh add {address} lladdr 02:00:00:00:00:09 dev {} nud permanent",
            Link::DEVICE
        ))?;
    }
    Ok(link)
}

fn begin_connect(to: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), None)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        other => bail!("connect to {to} is held, not {other:?}"),
    }
}

/// Waits until a connect has ended; returns its errno if it failed.
fn end_of(socket: &Socket) -> Result<Option<i32>> {
    wait::until("the connect's end", LIMIT, || match socket.take_error()? {
        Some(error) => Ok(Some(error.raw_os_error())),
        None => Ok(socket.peer_addr().is_ok().then_some(None)),
    })
}

/// A packet socket that sees everything that the namespace sends and receives.
struct Capture(Socket);

impl Capture {
    fn open() -> Result<Self> {
        let every_protocol = Protocol::from(i32::from(u16::try_from(libc::ETH_P_ALL)?.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(every_protocol))?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Self(socket))
    }

    /// The next SYN that `socket` sent, from its IP header on.
    fn syn_of(&self, socket: &Socket) -> Result<Syn> {
        let src = socket.local_addr()?.as_socket().context("an address")?;
        let mut packet = [0; 2048];
        loop {
            let length = (&self.0).read(&mut packet).context("no SYN was sent")?;
            match Syn::parse(&packet[..length]) {
                Ok(syn) if syn.src() == src => return Ok(syn),
                _ => {}
            }
        }
    }
}

/// The SYN as its destination would have sent it to `listener`.
fn turned_to(listener: SocketAddr, syn: &Syn) -> Result<Syn> {
    let mut packet = syn.replay().as_bytes().to_vec();
    let (first, length) = if listener.is_ipv4() { (12, 4) } else { (8, 16) };
    packet[first..first + 2 * length].rotate_left(length);
    let port = first + 2 * length + 2;
    packet[port..port + 2].copy_from_slice(&listener.port().to_be_bytes());
    let turned = Syn::parse(&packet)?;
    assert_eq!((turned.src().ip(), turned.dst()), (syn.dst().ip(), listener));
    Ok(turned)
}

/// Waits until so many connections of the namespace are in SYN-RECEIVED.
fn wait_for_half_open(count: usize) -> Result<()> {
    wait::until("half-open connections", LIMIT, || {
        let mut found = 0;
        for table in ["tcp", "tcp6"] {
            let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
            found += text.lines().filter(|line| line.split_whitespace().nth(3) == Some(SYN_RECV)).count();
        }
        Ok((found == count).then_some(()))
    })
}

/// `TCP_SYN_RECV` of `include/net/tcp_states.h`, as `/proc` shows it.
const SYN_RECV: &str = "03";

const LIMIT: Duration = Duration::from_secs(5);

/// The classic program of one instruction: return 0, so that nothing is let in.
const DROP_ALL: [SockFilter; 1] = [SockFilter::new(6, 0, 0, 0)];
