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

use super::wire::{self, Follows};
use crate::net::presence::Presence;

/// The program's end of a flow.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) presence: Arc<Presence>,
    end_passed: AtomicBool,
    reset: AtomicBool,
    strayed: AtomicBool,
    pipelined: AtomicBool,
    spent: AtomicBool,
    cut_off: AtomicBool,
    awaited: AtomicBool,
}

impl Peer {
    /// `presence` is what others see of the program's FIN.
    pub(crate) fn new(stream: TcpStream, presence: Arc<Presence>) -> Self {
        Self {
            stream,
            presence,
            end_passed: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            strayed: AtomicBool::new(false),
            pipelined: AtomicBool::new(false),
            spent: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            awaited: AtomicBool::new(false),
        }
    }

    /// The program has sent FIN: no more requests, but it may still read.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.presence.is_half_closed()
    }

    /// What its upstream is to see as well, at once.
    pub(crate) fn signs(&self) -> (bool, bool, bool) {
        (self.is_half_closed(), self.has_strayed(), self.is_pipelined())
    }

    /// The program has reset its connection.
    pub(crate) fn set_reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// The program goes on, behind a whole request, with what can begin no other one. It never comes back to requests.
    pub(crate) fn set_strayed(&self) {
        self.strayed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_strayed(&self) -> bool {
        self.strayed.load(Ordering::Relaxed)
    }

    /// The program goes on, behind a whole request that has no reply yet, and its origin is to see that at once.
    pub(crate) fn set_pipelined(&self) {
        self.pipelined.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_pipelined(&self) -> bool {
        self.pipelined.load(Ordering::Relaxed)
    }

    /// The request that others followed is answered.
    pub(crate) fn forget_pipelined(&self) {
        self.pipelined.store(false, Ordering::Relaxed);
    }

    /// Its connection ends with the reply under way, as the origin's does.
    pub(crate) fn set_spent(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// The origin has replied and does not take the rest of the request: it has reset its connection.
    pub(crate) fn set_cut_off(&self) {
        self.cut_off.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// The rest of its request is waited for: it has not sent it.
    pub(crate) fn begin_wait(&self) {
        self.awaited.store(true, Ordering::Relaxed);
    }

    /// More of its request has come.
    pub(crate) fn end_wait(&self) {
        self.awaited.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Neither spent nor cut off: the reply that said so is not the program's.
    pub(crate) fn forget_end(&self) {
        self.spent.store(false, Ordering::Relaxed);
        self.cut_off.store(false, Ordering::Relaxed);
    }

    /// Writes `bytes`; returns when the kernel has them.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        poll_fn(|cx| {
            wire::poll_write(&self.stream, cx, bytes, &mut written, &mut Bytes::new(), Follows::Bytes)
        })
        .await
    }

    pub(crate) fn set_half_closed(&self) {
        self.presence.set_half_closed();
    }

    /// The upstream has got all that the program has sent of this request, and its FIN.
    pub(crate) fn set_end_passed(&self) {
        self.end_passed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_passed_end(&self) -> bool {
        self.end_passed.load(Ordering::Relaxed)
    }

    /// A further request begins, of which the upstream has nothing yet.
    pub(crate) fn forget_passed_end(&self) {
        self.end_passed.store(false, Ordering::Relaxed);
    }
}
