// SPDX-License-Identifier: Apache-2.0
//! The program's end of an HTTP/1 flow, as far as the exchange with the upstream must know it.
//!
//! Interim replies (1xx) are written while the final reply is still awaited, and a program that ends its side must
//! be seen by the upstream as it would be without a proxy. Only one task writes at any time.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

    pub(crate) fn set_half_closed(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }
}

/// Where interim replies (1xx) of a request go.
#[derive(Clone)]
pub struct InterimSink(Option<Arc<Peer>>);

impl InterimSink {
    /// Interim replies are dropped.
    pub fn none() -> Self {
        Self(None)
    }

    pub(crate) fn http1(peer: Arc<Peer>) -> Self {
        Self(Some(peer))
    }

    /// Relays the bytes of an interim reply; returns when the kernel has them.
    pub async fn send(&self, head: &[u8]) -> io::Result<()> {
        let Some(peer) = &self.0 else { return Ok(()) };
        let mut written = 0;
        poll_fn(|cx| wire::poll_write(&peer.stream, cx, head, &mut written, &mut Bytes::new())).await
    }

    /// The program has reset its connection, which its upstream should see as well.
    pub fn is_reset(&self) -> bool {
        self.0.as_ref().is_some_and(|peer| peer.reset.load(Ordering::Relaxed))
    }

    /// The program has sent FIN, which its upstream should see as well.
    pub fn is_half_closed(&self) -> bool {
        self.0.as_ref().is_some_and(|peer| peer.is_half_closed())
    }
}
