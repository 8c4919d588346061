// SPDX-License-Identifier: Apache-2.0
//! The workers: one OS thread per core, each with its own event loop, listeners and upstream pool.
//!
//! A worker also dials for the connections that its own listeners hold, so that the thread which is told of a SYN is
//! the one that accepts its connection.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd as _,
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{duties::Duties, heartbeat::Heartbeat, places::Places};
use crate::{
    host::{privileges, spare_blocks},
    kernel::{SynEvents, detach_filter},
    net::{accept::accept, dial::Sockets},
    proxy::{connection, context::Context, held::Held},
    upstream::{pool, unattended},
};

/// How long connections that are open at the end may take to finish.
const DRAIN: Duration = Duration::from_millis(500);

/// A listener and the namespace that it stands in.
pub(super) struct Landing {
    /// The listener.
    pub(super) listener: TcpListener,
    /// Makes sockets in its namespace.
    pub(super) sockets: Arc<dyn Sockets>,
}

/// The connections that a worker's listeners hold.
pub(super) struct Holding {
    /// Where the kernel tells of them.
    pub(super) events: SynEvents,
    /// Serves them.
    pub(super) held: Arc<Held>,
}

/// What a worker is given.
pub(super) struct Worker {
    /// Its place among the workers.
    pub(super) index: usize,
    /// Its listeners.
    pub(super) landings: Vec<Landing>,
    /// What its listeners hold; `None` where they let everything in at once.
    pub(super) holding: Option<Holding>,
    /// What all workers share.
    pub(super) context: Arc<Context>,
    /// The notes of all workers.
    pub(super) heartbeat: Arc<Heartbeat>,
    /// One place per connection that may be open, shared by all workers.
    pub(super) places: Arc<Places>,
    /// How many idle upstream connections it may keep for later flows.
    pub(super) kept: usize,
    /// Turns true when the process ends.
    pub(super) stop: watch::Receiver<bool>,
}

impl Worker {
    /// Starts the worker's thread.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("worker-{}", self.index)).spawn(move || {
            // The main thread may keep a capability or two for the end; a worker, which talks to the network, none.
            if let Err(error) = privileges::drop_all_but(&[]) {
                tracing::error!(%error, "a worker keeps privileges that it does not need");
            }
            spare_blocks::keep_on_this_thread();
            runtime.block_on(self.serve());
        })
    }

    async fn serve(self) {
        let Self { index, landings, holding, context, heartbeat, places, kept, mut stop } = self;
        pool::keep_at_most(kept);
        let flows = TaskTracker::new();
        let mut duties = Duties::default();
        let beat = duties.begin("the heartbeat", Arc::clone(&heartbeat).beat(index));
        if let Some(Holding { events, held }) = holding {
            duties.begin("the reader of held connections", held.serve(events));
        }
        let mut listeners = Vec::new();
        for Landing { listener, sockets } in landings {
            let (context, flows, places) = (Arc::clone(&context), flows.clone(), Arc::clone(&places));
            let accepting = open(listener).map(|(address, listener)| {
                let listener = Arc::new(listener);
                listeners.push(Arc::downgrade(&listener));
                let place = move || {
                    let places = Arc::clone(&places);
                    async move { places.take().await }
                };
                accept(listener, place, move |stream, peer, place| {
                    let (context, sockets) = (Arc::clone(&context), Arc::clone(&sockets));
                    flows.spawn(async move {
                        connection::serve(stream, peer, address, sockets, context).await;
                        drop(place);
                    });
                })
            });
            duties.begin("a listener", async {
                match accepting {
                    Ok(accepting) => accepting.await,
                    Err(error) => tracing::error!(%error, "a listener cannot be served"),
                }
            });
        }
        // It ends with the sender, too.
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        tokio::pin!(stopped);
        tokio::select! {
            () = &mut stopped => {}
            lost = duties.lost() => {
                beat.abort();
                heartbeat.end(index);
                tracing::error!(
                    worker = index,
                    "{lost} has ended: from now on new connections go direct; this is a defect of ambassador, please \
                     report it"
                );
                hold_no_more(&listeners);
                stopped.await;
            }
        }
        flows.close();
        let drained = async {
            flows.wait().await;
            unattended::ended().await;
        };
        let _ = tokio::time::timeout(DRAIN, drained).await;
        duties.end().await;
    }
}

fn open(listener: TcpListener) -> io::Result<(SocketAddr, tokio::net::TcpListener)> {
    Ok((listener.local_addr()?, tokio::net::TcpListener::from_std(listener)?))
}

/// Lets in what is held when its program repeats its SYN: nobody may be left to answer it.
fn hold_no_more(listeners: &[Weak<tokio::net::TcpListener>]) {
    for listener in listeners.iter().filter_map(Weak::upgrade) {
        if let Err(error) = detach_filter(listener.as_fd()) {
            tracing::error!(%error, "a listener holds connections that nobody will answer");
        }
    }
}

#[cfg(test)]
mod tests;
