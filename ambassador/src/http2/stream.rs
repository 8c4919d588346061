// SPDX-License-Identifier: Apache-2.0
//! The program's end of one HTTP/2 stream, as far as the exchange with the upstream must know it.
//!
//! Interim replies (1xx) go out while the final reply is still awaited, and the code with which a program resets its
//! stream must reach the upstream, although the exchange is simply dropped then.

use std::{
    future::poll_fn,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};

/// The program's end of a stream.
pub(crate) struct ProgramStream {
    respond: Mutex<SendResponse<Bytes>>,
    reset: AtomicU32,
}

impl ProgramStream {
    pub(crate) fn new(respond: SendResponse<Bytes>) -> Self {
        Self { respond: Mutex::new(respond), reset: AtomicU32::new(Reason::CANCEL.into()) }
    }

    /// Sends an interim reply.
    pub(crate) fn interim(&self, head: http::Response<()>) -> io::Result<()> {
        self.respond().send_informational(head).map_err(io::Error::other)
    }

    /// Sends the head of the reply.
    pub(crate) fn reply(&self, head: http::Response<()>, end: End) -> Result<SendStream<Bytes>, h2::Error> {
        self.respond().send_response(head, end == End::Here)
    }

    /// Waits until the program gives its stream up before the reply; why is noted before this returns. `Err`: its
    /// connection is gone.
    pub(crate) async fn given_up(&self) -> Result<(), h2::Error> {
        let reason = poll_fn(|cx| self.respond().poll_reset(cx)).await?;
        self.note(reason);
        Ok(())
    }

    /// Notes why the program gave its stream up.
    pub(crate) fn note(&self, reason: Reason) {
        self.reset.store(reason.into(), Ordering::Relaxed);
    }

    /// Why the upstream's stream is reset if it is dropped now.
    pub(crate) fn reason(&self) -> Reason {
        self.reset.load(Ordering::Relaxed).into()
    }

    /// Resets the stream.
    pub(crate) fn reset(&self, reason: Reason) {
        self.respond().send_reset(reason);
    }

    fn respond(&self) -> MutexGuard<'_, SendResponse<Bytes>> {
        self.respond.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a head ends its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It does.
    Here,
    /// A body follows.
    Later,
}
