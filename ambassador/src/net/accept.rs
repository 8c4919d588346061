// SPDX-License-Identifier: Apache-2.0
//! Accepts redirected connections, no more at once than the limit of open files allows.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::exhaustion;

/// Accepts from `listener` for ever, handing each connection, its other end's address and its `place` to `serve`.
///
/// While there is no place, one connection per listener waits for it and the others in the kernel's backlog, instead
/// of being accepted and then failed. A listener that nobody connects to must hold none: with few places and many
/// listeners, none would be left for those that somebody does.
pub async fn accept<P: Future<Output = Option<OwnedSemaphorePermit>>>(
    listener: Arc<TcpListener>,
    place: impl Fn() -> P,
    serve: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = place().await else { return };
                serve(stream, peer, place);
            }
            Err(error) if exhaustion::is(&error) => {
                tracing::warn!(%error, "cannot accept: new connections wait");
                tokio::time::sleep(exhaustion::PAUSE).await;
            }
            // The program gave up between its SYN and now; the next one may not have.
            Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
        }
    }
}

/// Whether the other end of an accepted connection has reset it, or does so within a moment.
pub async fn is_reset(stream: &TcpStream) -> bool {
    let failed = timeout(MOMENT, stream.ready(Interest::ERROR)).await;
    failed.is_ok() && stream.take_error().is_ok_and(|error| error.is_some())
}

/// How long a program may take, on a busy machine, from the end of its socket to the reset that tells of it.
const MOMENT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::net::copy::reset_on_close;

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test is a client")]
    async fn a_connection_is_reset_by_its_other_end_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        for (is_aborted, is_shut) in [(true, false), (false, true), (false, false)] {
            let client = TcpStream::connect(address).await.expect("connect");
            let (accepted, _) = listener.accept().await.expect("accept");
            if is_aborted {
                reset_on_close(&client);
            }
            let kept = (!is_aborted && !is_shut).then_some(client);
            assert_eq!(is_reset(&accepted).await, is_aborted, "{kept:?}");
        }
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test is a client")]
    async fn idle_listeners_hold_no_permit_and_connections_wait_for_one() {
        let permits = Arc::new(Semaphore::new(1));
        let (served, mut serving) = mpsc::unbounded_channel();
        let mut addresses = Vec::new();
        for _ in 0..3 {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            addresses.push(listener.local_addr().expect("address"));
            let served = served.clone();
            let permits = Arc::clone(&permits);
            let place = move || {
                let permits = Arc::clone(&permits);
                async move { permits.acquire_owned().await.ok() }
            };
            tokio::spawn(accept(Arc::new(listener), place, move |stream, _, permit| {
                served.send((stream, permit)).expect("the test waits");
            }));
        }
        let _first = TcpStream::connect(addresses[2]).await.expect("connect");
        let first = serving.recv().await.expect("served");
        let _second = TcpStream::connect(addresses[0]).await.expect("connect");
        tokio::task::yield_now().await;
        assert!(serving.try_recv().is_err(), "no permit is left");
        drop(first);
        let _second = serving.recv().await.expect("served in its turn");
    }
}
