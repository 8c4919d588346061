// SPDX-License-Identifier: Apache-2.0
//! The system calls under the kinds of `client connect`, as a C program would make them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use socket2::SockAddr;

/// `socket(2)` for the family of `address` and a protocol number.
pub(crate) fn socket(address: SocketAddr, protocol: i32) -> Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: takes integers only.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, protocol) };
    ensure!(fd >= 0, "socket(2) with protocol {protocol}: {}", io::Error::last_os_error());
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `connect(2)`.
pub(crate) fn connect(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let address = SockAddr::from(address);
    // SAFETY: pointer and length describe `address`, which lives through the call.
    match unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `connect(2)` with `AF_UNSPEC`: the socket is unconnected again.
pub(crate) fn disconnect(socket: &OwnedFd) -> Result<()> {
    let nowhere = libc::sockaddr { sa_family: 0, sa_data: [0; 14] };
    let length = u32::try_from(size_of::<libc::sockaddr>())?;
    // SAFETY: pointer and length describe `nowhere`, which lives through the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, length) };
    ensure!(result == 0, "connect(2) with AF_UNSPEC: {}", io::Error::last_os_error());
    Ok(())
}

/// A non-blocking `connect(2)`, awaited with `poll(2)` and `SO_ERROR`.
pub(crate) fn connect_nonblocking(socket: &OwnedFd, address: SocketAddr) -> Result<()> {
    let sock = socket2::SockRef::from(socket);
    sock.set_nonblocking(true)?;
    match connect(socket, address) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => other.context("a non-blocking connect")?,
    }
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 5000) };
    ensure!(ready == 1, "the socket did not become writable");
    if let Some(error) = sock.take_error()? {
        return Err(error).context("SO_ERROR after a non-blocking connect");
    }
    Ok(sock.set_nonblocking(false)?)
}

/// `sendto(2)` with `MSG_FASTOPEN`: connects and sends at once.
pub(crate) fn send_fast_open(socket: &OwnedFd, address: SocketAddr, data: &[u8]) -> Result<()> {
    let address = SockAddr::from(address);
    // SAFETY: both pointers and lengths describe values that live through the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            data.as_ptr().cast(),
            data.len(),
            libc::MSG_FASTOPEN,
            address.as_ptr().cast(),
            address.len(),
        )
    };
    ensure!(usize::try_from(sent) == Ok(data.len()), "MSG_FASTOPEN: {}", io::Error::last_os_error());
    Ok(())
}

/// `setsockopt(TCP_FASTOPEN_CONNECT)`: `connect` returns at once, the SYN leaves with the first data.
pub(crate) fn set_fast_open_connect(socket: &OwnedFd) -> Result<()> {
    let on: libc::c_int = 1;
    let length = u32::try_from(size_of::<libc::c_int>())?;
    let option = libc::TCP_FASTOPEN_CONNECT;
    // SAFETY: pointer and length describe `on`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, option, (&raw const on).cast(), length)
    };
    ensure!(result == 0, "TCP_FASTOPEN_CONNECT: {}", io::Error::last_os_error());
    Ok(())
}

/// Bounds every read and write of a socket, so that a lost connection fails the test instead of hanging it.
pub(crate) fn bound(socket: &OwnedFd, limit: Duration) -> Result<()> {
    let socket = socket2::SockRef::from(socket);
    socket.set_read_timeout(Some(limit))?;
    Ok(socket.set_write_timeout(Some(limit))?)
}
