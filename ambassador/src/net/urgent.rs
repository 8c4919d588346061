// SPDX-License-Identifier: Apache-2.0
//! TCP urgent data (RFC 6093): one byte of the stream that is marked, as `MSG_OOB` sends it.
//!
//! Telnet, rlogin and FTP interrupt with it. A relay reads it in its place (`SO_OOBINLINE`) and sends it on as urgent,
//! so that neither the byte nor its mark is lost, and the receiver may read it apart or in its place, as it has chosen.
#![allow(unsafe_code, reason = "neither std nor socket2 asks for the mark")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

/// Lets urgent bytes be read in their place, with the others; what a listener accepts inherits it.
pub(super) fn read_in_place(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_out_of_band_inline(true)
}

/// Whether the byte that is read next is urgent. A read never goes across the mark: it ends short before it.
pub(super) fn is_next(stream: &TcpStream) -> bool {
    let mut at_mark: libc::c_int = 0;
    // SAFETY: the pointer is to an int, which is what the request writes.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), SIOCATMARK, &raw mut at_mark) };
    result == 0 && at_mark != 0
}

/// Writes a byte as an urgent one.
pub(super) fn try_send(stream: &TcpStream, byte: &[u8]) -> io::Result<usize> {
    stream.try_io(Interest::WRITABLE, || SockRef::from(stream).send_out_of_band(byte))
}

/// `<asm-generic/sockios.h>`.
const SIOCATMARK: libc::c_ulong = 0x8905;
