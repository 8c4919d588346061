// SPDX-License-Identifier: Apache-2.0
//! The program's end of an HTTP/1 flow, as far as the exchange with the upstream must know it.
//!
//! Interim replies (1xx) are written while the final reply is still awaited, and a program that ends its side must
//! be seen by the upstream as it would be without a proxy. Only one task writes at any time.

use std::{
    future::poll_fn,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::net::TcpStream;

use super::wire;

/// The program's end of a flow.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    half_closed: AtomicBool,
    reset: AtomicBool,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, half_closed: AtomicBool::new(false), reset: AtomicBool::new(false) }
    }

    /// The program has sent FIN: no more requests, but it may still read.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// The program has reset its connection.
    pub(crate) fn set_reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Writes `bytes`; returns when the kernel has them.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        poll_fn(|cx| wire::poll_write(&self.stream, cx, bytes, &mut written, &mut Bytes::new())).await
    }

    pub(crate) fn set_half_closed(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }
}
