// SPDX-License-Identifier: Apache-2.0
//! The thread that reads the kernel's events of held connections and dials for them.
//!
//! The kernel tells all of them in one ring, which has one reader. The heartbeat counts this thread among the
//! workers: when it is stuck, the kernel passes new connects by.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::watch;

use super::heartbeat::Heartbeat;
use crate::{host::privileges, kernel::SynEvents, proxy::held::Held};

/// What the thread is given.
pub(super) struct Holder {
    /// Its place among those that beat.
    pub(super) index: usize,
    /// Where the kernel tells of held connections.
    pub(super) events: SynEvents,
    /// Serves them.
    pub(super) held: Arc<Held>,
    /// The notes of all that beat.
    pub(super) heartbeat: Arc<Heartbeat>,
    /// Turns true when the process ends.
    pub(super) stop: watch::Receiver<bool>,
}

impl Holder {
    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("holder".into()).spawn(move || {
            if let Err(error) = privileges::drop_all_but(&[]) {
                tracing::error!(%error, "the holder keeps privileges that it does not need");
            }
            runtime.block_on(self.serve());
        })
    }

    async fn serve(self) {
        let Self { index, events, held, heartbeat, mut stop } = self;
        let mut events = match events.into_stream() {
            Ok(events) => events,
            Err(error) => return tracing::error!(%error, "held connections cannot be read"),
        };
        tokio::spawn(heartbeat.beat(index));
        tokio::spawn(Arc::clone(&held).keep_swept());
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Ok(event) => held.on_event(event),
                    Err(error) => return tracing::error!(%error, "held connections can no longer be read"),
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}
