// SPDX-License-Identifier: Apache-2.0
//! Whether a connection goes through the proxy: the one thing that neither a program's own calls nor its server tell.
//!
//! Only the kernel's table of connections shows it, in which the program's socket leads to a listener on loopback. The
//! file stands alone, so that programs outside of this crate can compile it, too.

use std::io;
use std::net::SocketAddr;

/// `direct` or `proxied`: how the connection from `own` to `dialled`, of this network namespace, goes.
pub fn path(own: SocketAddr, dialled: SocketAddr) -> io::Result<&'static str> {
    let (port, mut proxied) = (format!(":{:04X}", own.port()), false);
    for table in ["tcp", "tcp6"] {
        // A kernel without IPv6 has no table of it.
        let connections = match std::fs::read_to_string(format!("/proc/thread-self/net/{table}")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            connections => connections?,
        };
        proxied |= connections.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, remote) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let remote = remote.split(':').next().unwrap_or_default();
            let to_listener =
                remote.ends_with("004D7F") || remote == LOCALHOST_V6 && !dialled.ip().is_loopback();
            local.ends_with(&port) && to_listener
        });
    }
    Ok(if proxied { "proxied" } else { "direct" })
}

/// `::1` as the table writes it.
const LOCALHOST_V6: &str = "00000000000000000000000001000000";
