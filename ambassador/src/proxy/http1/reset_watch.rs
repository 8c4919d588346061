// SPDX-License-Identifier: Apache-2.0
//! Watches for the program's reset while nothing is read from it.
//!
//! It exists because a reset shows in what is read next, and there are times when nothing may be: enough was read ahead,
//! the origin does not take the body, the program has ended its side. It must never read, and takes no room in a flow
//! before it is needed.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::Interest;

use crate::http1::peer::Peer;

/// The watch over one flow.
#[derive(Default)]
pub(super) struct ResetWatch(Option<BoxFuture<'static, io::Error>>);

impl ResetWatch {
    /// Waits for the reset of `peer`, which is noted there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, peer: &Arc<Peer>) -> Poll<io::Error> {
        let watch = self.0.get_or_insert_with(|| failure(Arc::clone(peer)).boxed());
        let error = ready!(watch.as_mut().poll(cx));
        self.0 = None;
        peer.set_reset();
        Poll::Ready(error)
    }
}

async fn failure(peer: Arc<Peer>) -> io::Error {
    // A write that failed has taken the error, but not the sign of it.
    let failed = peer.stream.ready(Interest::ERROR).await.and_then(|_| peer.stream.take_error());
    failed.unwrap_or_else(Some).unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}
