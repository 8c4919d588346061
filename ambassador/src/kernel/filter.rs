// SPDX-License-Identifier: Apache-2.0
//! Socket filters: put on a listener to hold SYNs, taken off the sockets that it accepts.
#![allow(unsafe_code, reason = "neither std nor socket2 attaches a loaded program to a socket")]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use socket2::SockRef;

/// Takes the filter off a socket. An accepted socket inherits its listener's, which sees every segment of it.
pub fn detach_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    match SockRef::from(&socket).detach_filter() {
        // There was none.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Puts a loaded program on a socket; it stays as long as the socket.
pub(super) fn attach(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let program = program.as_raw_fd();
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    // SAFETY: the option takes an int, which lives on the stack, and its length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_BPF,
            (&raw const program).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel programs know a socket by.
pub(super) fn cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    SockRef::from(&socket.as_fd()).cookie()
}
