// SPDX-License-Identifier: Apache-2.0
//! The server of the benchmarks: a byte to everybody who connects, and an end.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use ambassador_tests::Namespace;
use anyhow::{Context as _, Result};

/// Listens on all addresses of `namespace` for as long as this program runs. Gives the port.
pub(crate) fn start(namespace: &Namespace) -> Result<u16> {
    let listener = namespace.enter(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    let port = listener.local_addr()?.port();
    for _ in 0..THREADS {
        let listener = listener.try_clone().context("share the listener")?;
        std::thread::spawn(move || {
            // It ends first, so that what lingers in TIME_WAIT is no port of the client's.
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"\0");
            }
        });
    }
    Ok(port)
}

const THREADS: usize = 2;
