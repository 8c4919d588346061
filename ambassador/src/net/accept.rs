// SPDX-License-Identifier: Apache-2.0
//! Accepts redirected connections, no more at once than the limit of open files allows.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How long accepting rests when the machine is out of descriptors or memory: the connections wait in the backlog.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Accepts from `listener` for ever, handing each connection and its permit to `serve`.
///
/// A permit is taken before a connection is: while there is none, new connections wait in the kernel's backlog
/// instead of being accepted and then failed.
pub async fn accept(
    listener: TcpListener,
    permits: Arc<Semaphore>,
    serve: impl Fn(TcpStream, OwnedSemaphorePermit),
) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => serve(stream, permit),
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(%error, "cannot accept: new connections wait");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
            // The program gave up between its SYN and now; the next one may not have.
            Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
