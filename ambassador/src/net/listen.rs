// SPDX-License-Identifier: Apache-2.0
//! The listeners that redirected connections land on.
//!
//! All redirected flows of a network namespace would share one destination, and so one space of some 28 000
//! ephemeral ports. They are spread over several addresses of 127/8 (several ports of `::1`) by a hash of the address
//! that was dialled, and each worker listens on all of them (`SO_REUSEPORT`).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    ops::Range,
};

use super::urgent;
use socket2::{Domain, Protocol, Socket, Type};

/// The first listener address of every namespace; the others follow it.
pub const FIRST_V4: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

/// How many addresses IPv4 flows are spread over.
pub const SPREAD_V4: u8 = 8;

/// How many ports IPv6 flows are spread over.
pub const SPREAD_V6: usize = 4;

/// Connections that may wait to be accepted, per listener; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Ports that are shunned: other agents on a Kubernetes node take loopback connections to them as `NodePort`s.
const NODE_PORTS: Range<u16> = 30_000..32_768;

/// Ports tried before giving up.
const TRIES: usize = 64;

/// The listeners of one network namespace.
pub struct Listeners {
    /// For each worker, its own listener on every address.
    pub per_worker: Vec<Vec<TcpListener>>,
    /// The port of all IPv4 addresses.
    pub v4_port: u16,
    /// The ports of `::1`; empty where the namespace has no IPv6.
    pub v6_ports: Vec<u16>,
}

/// Opens the listeners of the calling thread's network namespace for so many workers.
pub fn listen(workers: usize) -> io::Result<Listeners> {
    let mut per_worker: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let v4 = (0..SPREAD_V4).map(|i| Ipv4Addr::from_bits(FIRST_V4.to_bits() + u32::from(i)));
    let v4_port = open_everywhere(&v4.map(Into::into).collect::<Vec<_>>(), &mut per_worker)?;
    let mut v6_ports = Vec::new();
    for _ in 0..SPREAD_V6 {
        match open_everywhere(&[Ipv6Addr::LOCALHOST.into()], &mut per_worker) {
            Ok(port) => v6_ports.push(port),
            Err(error) => {
                tracing::info!(%error, "no IPv6 loopback in this network namespace: IPv6 connections stay direct");
                break;
            }
        }
    }
    Ok(Listeners { per_worker, v4_port, v6_ports })
}

/// Opens a listener per worker and address, all on one port that is free on all of the addresses.
fn open_everywhere(addresses: &[std::net::IpAddr], per_worker: &mut [Vec<TcpListener>]) -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        match open_on_one_port(addresses, per_worker.len()) {
            Ok((port, opened)) => {
                for (worker, listeners) in per_worker.iter_mut().zip(opened) {
                    worker.extend(listeners);
                }
                return Ok(port);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn open_on_one_port(
    addresses: &[std::net::IpAddr],
    workers: usize,
) -> io::Result<(u16, Vec<Vec<TcpListener>>)> {
    let mut port = 0;
    let mut opened: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for address in addresses {
        // Without SO_REUSEPORT first: an address and port that another process shares must not be joined.
        drop(bind(SocketAddr::new(*address, port), false).inspect(|probe| port = local_port(probe))?);
        if NODE_PORTS.contains(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        for listeners in &mut opened {
            let socket = bind(SocketAddr::new(*address, port), true)?;
            socket.listen(BACKLOG)?;
            listeners.push(socket.into());
        }
    }
    Ok((port, opened))
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What it accepts inherits this.
    socket.set_tcp_nodelay(true)?;
    // Between two ends of one host there is nothing to congest: a pacing one (BBR) would measure a path that is none.
    // Where it is not allowed, the default serves as well.
    let _ = socket.set_tcp_congestion(b"reno");
    urgent::read_in_place(&socket)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_port(socket: &Socket) -> u16 {
    socket.local_addr().ok().and_then(|address| address.as_socket()).map_or(0, |address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_listens_on_every_address() {
        let listeners = listen(3).expect("listen");
        assert_eq!(listeners.per_worker.len(), 3);
        let addresses = |worker: &[TcpListener]| -> Vec<SocketAddr> {
            worker.iter().map(|listener| listener.local_addr().expect("address")).collect()
        };
        let first = addresses(&listeners.per_worker[0]);
        assert_eq!(first.iter().filter(|a| a.is_ipv4()).count(), usize::from(SPREAD_V4));
        assert_eq!(first[0], SocketAddr::from((FIRST_V4, listeners.v4_port)));
        assert!(listeners.per_worker.iter().all(|worker| addresses(worker) == first));
        assert!(!NODE_PORTS.contains(&listeners.v4_port));
    }
}
