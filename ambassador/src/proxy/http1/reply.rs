// SPDX-License-Identifier: Apache-2.0
//! Relays a reply to the program: its head, together with what has arrived of its body, then the rest.
//!
//! A body that was cut must reach the program cut in the same way.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body as _;

use super::inbound::Inbound;
use crate::http1::{
    peer::Peer,
    wire::{self, Follows},
};
use crate::message::body::{Body, BodyError};

/// Why a reply could not be relayed to its end.
pub(super) enum Cut {
    /// Its body was cut.
    Upstream(BodyError),
    /// The program has gone.
    Client,
}

/// Writes `head` and `body`, and then what `follows` them, to the program while watching for its end. The end of the
/// stream itself is the caller's.
pub(super) async fn relay(
    peer: &Peer,
    inbound: &mut Inbound,
    head: &[u8],
    body: &mut Body,
    follows: Follows,
) -> Result<(), Cut> {
    let mut relay = Relay { head, written: 0, chunk: Bytes::new(), ended: None, follows };
    poll_fn(|cx| relay.poll(cx, peer, inbound, body)).await
}

struct Relay<'h> {
    head: &'h [u8],
    written: usize,
    chunk: Bytes,
    ended: Option<Result<(), BodyError>>,
    follows: Follows,
}

impl Relay<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        peer: &Peer,
        inbound: &mut Inbound,
        body: &mut Body,
    ) -> Poll<Result<(), Cut>> {
        loop {
            let waits = self.chunk.is_empty() && self.ended.is_none() && self.take(cx, body).is_pending();
            if waits && self.written == self.head.len() {
                let before = peer.signs();
                if inbound.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Cut::Client));
                }
                if before == peer.signs() {
                    return Poll::Pending;
                }
                // The upstream is to see it as well: the body passes it on when it is asked for more.
                continue;
            }
            let follows = if matches!(self.ended, Some(Ok(()))) { self.follows } else { Follows::Bytes };
            match wire::poll_write(&peer.stream, cx, self.head, &mut self.written, &mut self.chunk, follows) {
                Poll::Ready(written) => {
                    written.map_err(|_| {
                        peer.set_reset();
                        Cut::Client
                    })?;
                }
                Poll::Pending => {
                    // The program may read nothing before its request has been taken, and those that follow it.
                    if let Poll::Ready(cut) = self.go_on(cx, peer, inbound, body) {
                        return Poll::Ready(Err(cut));
                    }
                    return body.drive(cx).map(|cut| Err(Cut::Upstream(cut)));
                }
            }
            if let Some(ended) = self.ended.take() {
                return Poll::Ready(ended.map_err(Cut::Upstream));
            }
        }
    }

    /// Watches for what the program sends while it does not take the reply. `Ready` when the rest is relayed as it is, or
    /// the program is gone.
    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        peer: &Peer,
        inbound: &mut Inbound,
        body: &mut Body,
    ) -> Poll<Cut> {
        if self.ended.is_some() || self.chunk.len() > UNWRITTEN_MOST {
            return Poll::Pending;
        }
        if inbound.poll_gone(cx).is_ready() {
            return Poll::Ready(Cut::Client);
        }
        if !peer.is_pipelined() && !peer.has_strayed() {
            return Poll::Pending;
        }
        let unwritten = Bytes::from([&self.head[self.written..], &self.chunk].concat());
        (self.head, self.written) = (&[], 0);
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Err(BodyError::Unread(mut upgrade)))) => {
                upgrade.unwritten = unwritten;
                return Poll::Ready(Cut::Upstream(BodyError::Unread(upgrade)));
            }
            Poll::Ready(Some(Ok(frame))) => {
                let more = frame.into_data().unwrap_or_default();
                self.chunk = Bytes::from([unwritten, more].concat());
            }
            Poll::Ready(Some(Err(error))) => (self.chunk, self.ended) = (unwritten, Some(Err(error))),
            Poll::Ready(None) => (self.chunk, self.ended) = (unwritten, Some(Ok(()))),
            Poll::Pending => self.chunk = unwritten,
        }
        Poll::Pending
    }

    /// Takes the next piece of the body.
    fn take(&mut self, cx: &mut Context<'_>, body: &mut Body) -> Poll<()> {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.chunk = frame.into_data().unwrap_or_default();
                if body.is_end_stream() {
                    self.ended = Some(Ok(()));
                }
            }
            Some(Err(error)) => self.ended = Some(Err(error)),
            None => self.ended = Some(Ok(())),
        }
        Poll::Ready(())
    }
}

/// Beyond this, nothing more is taken of a reply that the program does not take.
const UNWRITTEN_MOST: usize = 256 * 1024;
