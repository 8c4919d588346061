// SPDX-License-Identifier: Apache-2.0
//! How many segments a socket has received: for tests of what leaves together.

use nix::{getsockopt_impl, sockopt_impl, sys::socket::getsockopt};
use tokio::net::TcpStream;

/// `tcpi_segs_in` of tcp(7).
pub(crate) fn received(stream: &TcpStream) -> u32 {
    getsockopt(stream, TcpInfo).expect("an open socket")[35]
}

sockopt_impl!(
    /// The first part of `struct tcp_info`, in words.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 36]
);
