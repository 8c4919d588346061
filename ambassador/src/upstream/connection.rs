// SPDX-License-Identifier: Apache-2.0
//! An HTTP/1 connection to an upstream, and what is known of it while it waits for its next request.
//!
//! It must never be believed to be usable when it has ended, or when something has arrived that nobody asked for.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::Instant};

use crate::{
    http1::wire::{self, AskKernel, Idle},
    message::flow::FlowId,
    policy::bulkhead::Permit,
};

/// What connections are shared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The network namespace that it was dialled in.
    pub netns_cookie: u64,
    /// Where it leads.
    pub destination: SocketAddr,
}

/// An HTTP/1 connection to an upstream. Boxed, because every request takes it from where it waits and brings it back.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) key: Key,
    pub(crate) flow: FlowId,
    /// The upstream that it was dialled for, if that was a configured one.
    pub(super) upstream: Option<Arc<str>>,
    /// It has carried a request before this one.
    pub(crate) reused: bool,
    /// It must not carry another flow's requests.
    pub(crate) unshared: bool,
    /// Nobody but the two ends may end it: it authenticates its flow's user, or its end is what the program waits for.
    pub(super) held_open: bool,
    /// How long it may be idle: what is configured, or what its origin announced if that is less.
    pub(crate) idle_limit: Duration,
    pub(super) idle_since: Instant,
    /// Its places among `maxConnections`.
    pub(crate) places: Vec<Permit>,
}

impl Connection {
    /// A connection that was just dialled; `keep_idle` is how long it may wait for another flow, if it may.
    pub(crate) fn new(
        stream: TcpStream,
        key: Key,
        flow: FlowId,
        keep_idle: Option<Duration>,
        places: Vec<Permit>,
    ) -> Box<Self> {
        let idle_limit = keep_idle.unwrap_or(Duration::MAX);
        let (unshared, idle_since) = (keep_idle.is_none(), Instant::now());
        Box::new(Self {
            stream,
            key,
            flow,
            upstream: None,
            reused: false,
            unshared,
            held_open: false,
            idle_limit,
            idle_since,
            places,
        })
    }

    /// Another route may keep it less long than the one that it was dialled for, or not share it at all.
    pub(crate) fn keep_no_longer_than(&mut self, keep_idle: Option<Duration>) {
        if !self.held_open {
            self.idle_limit = self.idle_limit.min(keep_idle.unwrap_or(Duration::MAX));
        }
        self.unshared |= keep_idle.is_none();
    }

    /// Leaves it to its two ends how long it is open.
    pub(super) fn hold_open(&mut self) {
        self.held_open = true;
        self.idle_limit = Duration::MAX;
    }

    /// Whether it is to be closed once it is idle, because somebody waits for its place.
    pub(super) fn is_awaited(&self) -> bool {
        !self.held_open && self.places.iter().any(Permit::is_awaited)
    }

    /// It is still open, and may still be used; `careful` says whether the kernel is asked.
    pub(super) fn is_usable(&self, now: Instant, careful: AskKernel) -> bool {
        let idle = now.saturating_duration_since(self.idle_since);
        let ask = if idle < FRESH { careful } else { AskKernel::Yes };
        idle < self.idle_limit && wire::idle_state(&self.stream, ask) == Idle::Quiet
    }

    /// It has been idle for as long as it may.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) >= self.idle_limit
    }
}

/// Up to this age an idle connection is believed to be open unless the runtime has seen otherwise.
const FRESH: Duration = Duration::from_millis(250);
