// SPDX-License-Identifier: Apache-2.0
//! One connection to a witness in one of the ways in which programs dial.
//!
//! Prints one line per connection: `dialled=A peer=B path=direct|proxied`, where `peer` is what `getpeername(2)` says
//! and `dialled` is the address at which the server was reached.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ambassador_tests::path::path;
use anyhow::{Context, Result, bail};
use socket2::SockRef;

use crate::{sockets, uring};

pub(crate) fn run(kind: &str, addresses: &[SocketAddr]) -> Result<()> {
    let &[first, ref rest @ ..] = addresses else { bail!("no address") };
    let socket = match kind {
        "mptcp" => sockets::socket(first, IPPROTO_MPTCP)?,
        "mapped" => sockets::socket(mapped(first), 0)?,
        _ => sockets::socket(first, 0)?,
    };
    sockets::bound(&socket, LIMIT)?;
    match kind {
        "blocking" | "mptcp" => sockets::connect(&socket, first)?,
        "nonblocking" => sockets::connect_nonblocking(&socket, first)?,
        "mapped" => sockets::connect(&socket, mapped(first))?,
        "bound" => {
            let source = *rest.first().context("`bound` needs the source as second address")?;
            let source_socket = SockRef::from(&socket);
            // The port may be that of a connection which lingers in TIME_WAIT.
            source_socket.set_reuse_address(true)?;
            source_socket.bind(&source.into())?;
            sockets::connect(&socket, first)?;
        }
        "device" => {
            SockRef::from(&socket).bind_device(Some(b"wire0")).context("SO_BINDTODEVICE")?;
            sockets::connect(&socket, first)?;
        }
        "fast-open" => sockets::send_fast_open(&socket, first, b"hello\n")?,
        "fast-open-connect" => {
            sockets::set_fast_open_connect(&socket)?;
            sockets::connect(&socket, first)?;
        }
        "io-uring" => uring::connect(&socket, first)?,
        "reconnect" => return reconnect(socket, first, rest, Between::Nothing),
        "reconnect-past-loopback" => return reconnect(socket, first, rest, Between::Loopback),
        _ => bail!("no such kind of connect: {kind}"),
    }
    report(&TcpStream::from(socket))
}

/// What a reconnected socket is used for between its two destinations.
#[derive(Clone, Copy)]
enum Between {
    Nothing,
    /// A connection that ambassador does not intercept must not leave its predecessor's destination behind.
    Loopback,
}

fn reconnect(socket: OwnedFd, first: SocketAddr, rest: &[SocketAddr], between: Between) -> Result<()> {
    let second = *rest.first().context("a reconnect needs a second address")?;
    sockets::connect(&socket, first)?;
    let stream = TcpStream::from(socket);
    report(&stream)?;
    let socket = OwnedFd::from(stream);
    sockets::disconnect(&socket)?;
    if matches!(between, Between::Loopback) {
        let local = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        sockets::connect(&socket, local.local_addr()?)?;
        let peer = SockRef::from(&socket).peer_addr()?.as_socket();
        if peer != Some(local.local_addr()?) {
            bail!("getpeername of a loopback connection says {peer:?}");
        }
        sockets::disconnect(&socket)?;
    }
    sockets::connect(&socket, second)?;
    report(&TcpStream::from(socket))
}

/// Asks the witness what it saw, and prints it beside what the kernel tells this program.
fn report(mut stream: &TcpStream) -> Result<()> {
    stream.write_all(b"who\n").context("write to the witness")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("read from the witness")?;
    let (_, dialled) = line.trim().split_once(' ').with_context(|| format!("the witness said {line:?}"))?;
    let dialled = canonical(dialled.parse()?);
    let path = path(stream.local_addr()?, dialled)?;
    println!("dialled={dialled} peer={} path={path}", canonical(stream.peer_addr()?));
    Ok(())
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) => Ipv6Addr::to_canonical(&ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => ip.to_canonical(),
    };
    SocketAddr::new(ip, address.port())
}

const IPPROTO_MPTCP: i32 = 262;
const LIMIT: Duration = Duration::from_secs(5);
