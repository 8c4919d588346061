// SPDX-License-Identifier: Apache-2.0
//! What a worker keeps: the connections of each flow, those that later flows may take, and the task that closes what
//! nobody should take any more.
//!
//! It exists apart from the rules of who may take what. Nothing here dials, and nothing is kept without a bound.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::BuildHasherDefault,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;
use tokio::{
    sync::mpsc::Receiver,
    task::{JoinHandle, yield_now},
    time::{Instant, MissedTickBehavior},
};

use super::Spare;
use crate::{
    http1::wire::AskKernel,
    http2::link::Link,
    message::flow::FlowId,
    net::syn::dialling::Verdicts,
    upstream::{
        connection::{Connection, Key},
        flow_hasher::FlowHasher,
        http2::Multiplexed,
        places::{self, Ask},
    },
};

/// Everything that one worker keeps.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) own: HashMap<FlowId, Own, BuildHasherDefault<FlowHasher>>,
    pub(super) shared: HashMap<Key, VecDeque<Box<Connection>>, RandomState>,
    pub(super) shared_count: usize,
    pub(super) shared_most: Option<usize>,
    /// Destinations that authenticate connections: what they leave idle is nobody else's.
    pub(super) authenticating: HashSet<Key, RandomState>,
    sweeper: Option<JoinHandle<()>>,
    /// Who wants to know where idle connections lead: the same of all flows.
    pub(super) verdicts: Option<Arc<dyn Verdicts>>,
}

/// What one flow has open.
#[derive(Default)]
pub(super) struct Own {
    #[expect(clippy::vec_box, reason = "every request takes it out and puts it back")]
    pub(super) idle: Vec<Box<Connection>>,
    pub(super) http2: Vec<(SocketAddr, Multiplexed)>,
    /// Where the connection leads that authenticates the flow's user.
    pub(super) bound_to: Option<SocketAddr>,
    /// The upstream that it was dialled for.
    pub(super) bound_by: Option<Arc<str>>,
    pub(super) spare: Option<(SocketAddr, Spare)>,
    pub(super) original_dst: Option<SocketAddr>,
    pub(super) link: Option<Arc<Link>>,
}

impl Pool {
    /// Keeps an idle connection for later flows, if it may be theirs and there is room.
    pub(super) fn share(&mut self, connection: Box<Connection>) {
        if connection.unshared
            || self.authenticating.contains(&connection.key)
            || self.shared_count >= self.shared_most.unwrap_or(SHARED_MAX)
        {
            return;
        }
        let idle = self.shared.entry(connection.key).or_default();
        if idle.len() >= SHARED_PER_KEY_MAX {
            idle.pop_front();
            self.shared_count -= 1;
        }
        idle.push_back(connection);
        self.shared_count += 1;
    }

    /// Closes what has expired or was closed by its origin; tells whether anything is left.
    fn sweep(&mut self, now: Instant) -> bool {
        let usable = |connection: &Connection| connection.is_usable(now, AskKernel::No);
        let mut left = 0;
        self.shared.retain(|_, idle| {
            idle.retain(|connection| usable(connection));
            left += idle.len();
            !idle.is_empty()
        });
        self.shared_count = left;
        for own in self.own.values_mut() {
            // This one's end is the program's: the flow waits for it (`own_ended`), and must not miss it.
            let awaited = own
                .idle
                .pop_if(|idle| Some(idle.key.destination) == own.original_dst && !idle.is_expired(now));
            own.idle.retain(|connection| usable(connection));
            own.idle.extend(awaited);
            left += own.idle.len();
        }
        left > 0
    }

    /// Closes idle connections whose places somebody waits for. Each that is closed serves one who waits, so it is asked
    /// again of the next.
    pub(super) fn close_awaited(&mut self) {
        for idle in self.shared.values_mut() {
            while let Some(at) = idle.iter().position(|connection| connection.is_awaited()) {
                drop(idle.remove(at));
                self.shared_count -= 1;
            }
        }
        for own in self.own.values_mut() {
            while let Some(at) = own.idle.iter().position(|connection| connection.is_awaited()) {
                drop(own.idle.swap_remove(at));
            }
        }
    }

    /// Tells which destinations accept, as far as the idle connections show.
    fn tell_known(&self) {
        let Some(verdicts) = &self.verdicts else { return };
        // The latest of each destination: a failure speaks against what is older than it.
        let shared = self.shared.values().filter_map(|idle| idle.back());
        for idle in shared.chain(self.own.values().flat_map(|own| &own.idle)) {
            let near = || idle.stream.local_addr().ok();
            verdicts.still_good(idle.key.netns_cookie, idle.key.destination, &near, idle.idle_since);
        }
    }

    /// Starts the sweeping task if none runs. It ends when nothing is left, or with the worker's runtime.
    pub(super) fn keep_swept(&mut self) {
        if self.sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            let mut asked = places::listen();
            self.sweeper = Some(tokio::spawn(async move {
                let mut ticks = tokio::time::interval_at(Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        _ = ticks.tick() => {}
                        Some(first) = asked.recv() => {
                            answer(first, &mut asked).await;
                            continue;
                        }
                    }
                    let left = super::POOL.with_borrow_mut(|pool| {
                        let left = pool.sweep(Instant::now());
                        pool.tell_known();
                        if !left {
                            pool.sweeper = None;
                        }
                        left
                    });
                    if !left {
                        return;
                    }
                }
            }));
        }
    }
}

/// Closes what others wait for, all who have asked by now.
async fn answer(first: Ask, asked: &mut Receiver<Ask>) {
    let mut answered = vec![first];
    answered.extend(std::iter::from_fn(|| asked.try_recv().ok()));
    super::close_awaited();
    // What has ended meanwhile, or has had its reply, may not have been seen yet.
    yield_now().await;
    super::close_awaited();
}

/// How often expired connections are looked for, and destinations of the others told to be good: more often than that
/// lapses.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The most shared idle connections of one worker to one destination.
const SHARED_PER_KEY_MAX: usize = 64;
/// The most shared idle connections of one worker that was told nothing else.
const SHARED_MAX: usize = 1024;
