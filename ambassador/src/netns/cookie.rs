// SPDX-License-Identifier: Apache-2.0
//! The name that the kernel programs know a network namespace by.
#![allow(unsafe_code, reason = "neither std nor nix has this socket option")]

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsFd, AsRawFd as _},
};

use socket2::{Domain, Socket, Type};

/// The cookie of the network namespace that the calling thread is in (≥ 5.14).
pub(super) fn current() -> io::Result<u64> {
    // A socket in the namespace is all that is needed; a raw UDP socket needs no loopback to be up.
    let socket: UdpSocket = Socket::new(Domain::IPV4, Type::DGRAM, None)?.into();
    of_socket(&socket)
}

fn of_socket(socket: &impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of_val(&cookie)).map_err(io::Error::other)?;
    // SAFETY: the pointers are to a u64 and its size, which is what the option writes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// `SO_NETNS_COOKIE` of `<asm-generic/socket.h>`.
const SO_NETNS_COOKIE: libc::c_int = 71;
