// SPDX-License-Identifier: Apache-2.0
//! Watches for the end of the program while nothing is read from it: its reset, or that it has left.
//!
//! It exists because both show in what is read next, or nowhere, and there are times when nothing may be read: enough was
//! read ahead, the origin does not take the body, the program has ended its side. It must never read, and takes no room
//! in a flow before it is needed.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::Interest;

use crate::http1::peer::Peer;

/// The watch over one flow.
#[derive(Default)]
pub(super) struct GoneWatch {
    reset: Option<BoxFuture<'static, ()>>,
    left: Option<BoxFuture<'static, ()>>,
}

impl GoneWatch {
    /// Waits until `peer` has reset its connection, which is noted there, or closed it when all that it has sent is passed
    /// on; `is_last` if that was no more than the request under way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, peer: &Arc<Peer>, is_last: bool) -> Poll<()> {
        let reset = self.reset.get_or_insert_with(|| reset(Arc::clone(peer)).boxed());
        if reset.as_mut().poll(cx).is_ready() {
            self.reset = None;
            peer.set_reset();
            return Poll::Ready(());
        }
        if !is_last || !peer.has_passed_end() {
            return Poll::Pending;
        }
        self.left.get_or_insert_with(|| left(Arc::clone(peer)).boxed()).as_mut().poll(cx)
    }
}

async fn reset(peer: Arc<Peer>) {
    // Readiness that cannot be told is as good as an error.
    let _ = peer.stream.ready(Interest::ERROR).await;
}

async fn left(peer: Arc<Peer>) {
    peer.presence.left().await;
}
