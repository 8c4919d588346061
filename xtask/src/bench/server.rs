// SPDX-License-Identifier: Apache-2.0
//! The TCP server of the benchmarks: it speaks first, as databases do, so that a proxy can only carry bytes.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use ambassador_tests::Namespace;
use anyhow::{Context as _, Result};
use nix::sys::socket::{Shutdown, shutdown};

/// What everybody who connects gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A byte, and the end.
    Greet,
    /// A byte; the connection stays open as long as the server.
    Keep,
    /// Bytes without end.
    Pour,
}

/// A server that listens on all addresses of a namespace until it is dropped.
pub(crate) struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start(namespace: &Namespace, manner: Manner) -> Result<Self> {
        let listener = namespace.enter(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
        let port = listener.local_addr()?.port();
        for _ in 0..THREADS {
            let listener = listener.try_clone().context("share the listener")?;
            std::thread::spawn(move || serve(&listener, manner));
        }
        Ok(Self { listener, port })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever waits in accept() is woken by an error, and ends.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }
}

fn serve(listener: &TcpListener, manner: Manner) {
    let mut kept = Vec::new();
    while let Ok((mut stream, _)) = listener.accept() {
        match manner {
            // It ends first, so that what lingers in TIME_WAIT is no port of the client's.
            Manner::Greet => drop(stream.write_all(b"\0")),
            Manner::Keep => {
                let _ = stream.write_all(b"\0");
                kept.push(stream);
            }
            Manner::Pour => drop(std::thread::spawn(move || pour(stream))),
        }
    }
}

fn pour(mut stream: TcpStream) {
    let piece = vec![0; PIECE];
    while stream.write_all(&piece).is_ok() {}
}

const THREADS: usize = 2;
/// Bytes of one write.
const PIECE: usize = 256 * 1024;
