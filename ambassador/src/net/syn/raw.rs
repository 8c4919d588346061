// SPDX-License-Identifier: Apache-2.0
//! [`RawSockets`]: what sends whole packets inside one network namespace.
//!
//! They are opened while the capability is held and stay in the namespace that they were opened in; sending needs no
//! capability. They only send: a socket of `IPPROTO_RAW` receives nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
};

use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::packet::Packet;

/// Sockets of `IPPROTO_RAW`, whose packets carry their own IP header.
#[derive(Debug)]
pub struct RawSockets {
    v4: OwnedFd,
    /// `None` where the kernel has no IPv6.
    v6: Option<OwnedFd>,
}

/// Raw sockets that cannot be opened.
#[derive(Debug, Error)]
pub enum RawSocketError {
    /// The capability is missing.
    #[error("raw sockets need CAP_NET_RAW in the user namespace that owns the network namespace")]
    MissingCapability(#[source] io::Error),
    /// The kernel does not speak the family.
    #[error("the kernel does not speak this family")]
    NoFamily,
    /// The kernel refused for another reason.
    #[error("cannot open a raw socket of {family}")]
    Open {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Its answer.
        #[source]
        source: io::Error,
    },
}

impl RawSockets {
    /// Opens them in the network namespace of the calling thread, which must hold `CAP_NET_RAW`.
    pub fn open() -> Result<Self, RawSocketError> {
        let v4 = RawFamily::V4.open()?;
        let v6 = match RawFamily::V6.open() {
            Ok(socket) => Some(socket),
            Err(RawSocketError::NoFamily) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { v4, v6 })
    }

    /// Whether one of a family can be opened here.
    pub fn try_family(family: RawFamily) -> Result<(), RawSocketError> {
        family.open().map(drop)
    }

    /// Sends a packet without waiting: `WouldBlock` when the socket's buffer is full, `EPERM` when a packet filter of
    /// the namespace drops it.
    pub fn send(&self, packet: &Packet) -> io::Result<()> {
        let destination = packet.destination();
        let socket = match (destination, &self.v6) {
            (IpAddr::V4(_), _) => &self.v4,
            (IpAddr::V6(_), Some(socket)) => socket,
            (IpAddr::V6(_), None) => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        // The port must be zero: for IPv6 it would be taken for a protocol number (raw(7), ipv6(7)).
        let address = SockaddrStorage::from(SocketAddr::new(destination, 0));
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendto(std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd()), packet.as_bytes(), &address, flags)?;
        Ok(())
    }
}

impl RawSocketError {
    fn of(family: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::MissingCapability(source),
            Some(libc::EAFNOSUPPORT) => Self::NoFamily,
            _ => Self::Open { family, source },
        }
    }
}

/// The family of a raw socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl RawFamily {
    fn open(self) -> Result<OwnedFd, RawSocketError> {
        let (domain, name) = match self {
            Self::V4 => (Domain::IPV4, "IPv4"),
            Self::V6 => (Domain::IPV6, "IPv6"),
        };
        raw_socket(domain).map_err(|source| RawSocketError::of(name, source))
    }
}

/// `IPPROTO_RAW` implies `IP_HDRINCL` and `IPV6_HDRINCL`; both are set all the same, so that a kernel that knows
/// better says so here.
fn raw_socket(domain: Domain) -> io::Result<OwnedFd> {
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    match domain {
        Domain::IPV4 => socket.set_header_included_v4(true)?,
        _ => socket.set_header_included_v6(true)?,
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        for errno in [libc::EPERM, libc::EACCES] {
            let error = RawSocketError::of("IPv4", io::Error::from_raw_os_error(errno));
            assert!(error.to_string().contains("CAP_NET_RAW") && error.source().is_some(), "{error}");
        }
        let error = RawSocketError::of("IPv6", io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(error.to_string(), "cannot open a raw socket of IPv6");
    }
}
