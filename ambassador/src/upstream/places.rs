// SPDX-License-Identifier: Apache-2.0
//! A place among `maxConnections` for each connection that is opened, within every limit of its route.
//!
//! A place that an idle connection has is as good as free: whoever finds none has those closed that are kept idle, by
//! this worker or by another one. Only where all are in use it waits, as long as `connectionPool` lets it. Who has no
//! limit, or finds room, meets no lock.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};

use super::pool;
use crate::{
    message::error::ProxyError,
    policy::bulkhead::{Bulkhead, Permit},
};

/// Whether there are only so many places for connections.
pub(crate) fn are_limited(bulkheads: &[Bulkhead]) -> bool {
    limited(bulkheads).next().is_some()
}

/// Whether `places` are the ones that a connection within the limits of `bulkheads` needs.
pub(crate) fn fit(places: &[Permit], bulkheads: &[Bulkhead]) -> bool {
    limited(bulkheads).all(|limits| places.iter().any(|place| place.is_in(&limits.connections)))
        && places.iter().all(|place| {
            !place.is_limited() || limited(bulkheads).any(|limits| place.is_in(&limits.connections))
        })
}

/// A place within each limit, if there is one at once.
pub(crate) fn try_enter(bulkheads: &[Bulkhead]) -> Option<Vec<Permit>> {
    limited(bulkheads).map(|limits| limits.connections.try_enter()).collect()
}

/// A place within each limit. Waits for it, in the order of coming, as long as each limit lets it.
pub(crate) async fn enter(bulkheads: &[Bulkhead]) -> Result<Vec<Permit>, ProxyError> {
    let mut places = Vec::new();
    // The route's own first: who waits for that holds nothing that other routes could use.
    for limits in limited(bulkheads).rev() {
        places.push(match limits.connections.try_enter() {
            Some(place) => place,
            None => wait(limits).await?,
        });
    }
    Ok(places)
}

fn limited(bulkheads: &[Bulkhead]) -> impl DoubleEndedIterator<Item = &Bulkhead> {
    bulkheads.iter().filter(|limits| limits.connections.limit().is_some())
}

async fn wait(limits: &Bulkhead) -> Result<Permit, ProxyError> {
    // In line first, so that what is closed from here on is this one's.
    let mut place = limits.connections.enter();
    let asked = reclaim();
    let at_once = async {
        tokio::select! {
            biased;
            place = &mut place => Some(place),
            () = asked.answered() => None,
        }
    };
    if let Ok(Some(place)) = timeout(ANSWER, at_once).await {
        return Ok(place);
    }
    let full = || ProxyError::Overflow { limit: "maxConnections" };
    let limit = limits.patience().ok_or_else(full)?;
    let Some(_pending) = limits.pending.try_enter() else {
        return Err(ProxyError::Overflow { limit: "maxPendingRequests" });
    };
    timeout(limit, place).await.map_err(|_| full())
}

/// Has idle connections closed whose places somebody waits for: those of this worker before this returns.
fn reclaim() -> Asked {
    pool::close_awaited();
    let (ask, answers) = channel(1);
    for worker in WORKERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // One that has so much to do with closing connections does it for this one, too.
        let _ = worker.try_send(Ask { _answered: ask.clone() });
    }
    Asked(answers)
}

/// That idle connections be closed whose places somebody waits for; answered when it is dropped.
pub(super) struct Ask {
    _answered: Sender<Ask>,
}

/// What was asked of the workers.
struct Asked(Receiver<Ask>);

impl Asked {
    /// Every worker has closed what it could, or is gone.
    async fn answered(mut self) {
        // Nobody sends anything: it ends with the last sender.
        let _ = self.0.recv().await;
    }
}

/// What a worker that keeps idle connections is asked from now on.
pub(super) fn listen() -> Receiver<Ask> {
    let (ask, asked) = channel(ASKED_MAX);
    let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    workers.retain(|worker| !worker.is_closed());
    workers.push_back(ask);
    asked
}

/// The workers that keep idle connections. Locked by who finds no place, and when a worker begins to keep some.
static WORKERS: Mutex<VecDeque<Sender<Ask>>> = Mutex::new(VecDeque::new());
/// The most questions that wait for one worker.
const ASKED_MAX: usize = 1024;
/// How long the answers of workers are awaited: far longer than it takes them to come to it.
const ANSWER: Duration = Duration::from_secs(1);
