// SPDX-License-Identifier: Apache-2.0
//! The kernel's side of a verdict, and what is remembered of failures beside it.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{FlowKey, dialling::Verdicts};
use crate::kernel::{self, KernelMaps};

/// How long a destination that was dialled with success is known to accept: long enough for a burst of connections
/// to pay for one, short enough that at most a few of them succeed in vain when it goes away.
pub const KNOWN_GOOD: Duration = Duration::from_secs(2);

/// Verdicts that the kernel side acts on.
pub struct KernelVerdicts {
    maps: Arc<KernelMaps>,
    failures: Failures,
}

impl KernelVerdicts {
    /// Tells the kernel side through `maps`.
    pub fn new(maps: Arc<KernelMaps>) -> Self {
        Self { maps, failures: Failures::default() }
    }
}

impl Verdicts for KernelVerdicts {
    fn allow(&self, key: &FlowKey, socket_cookie: u64) -> io::Result<bool> {
        self.maps.admit(&key.into(), socket_cookie).map_err(io::Error::other)
    }

    fn good(&self, netns_cookie: u64, dst: SocketAddr) {
        if let Err(error) = self.maps.mark_good(netns_cookie, dst, KNOWN_GOOD) {
            tracing::debug!(%error, "a destination that accepts cannot be noted");
        }
    }

    fn still_good(&self, netns_cookie: u64, dst: SocketAddr, since: Instant) {
        if !self.failures.any_after(since, (netns_cookie, dst)) {
            self.good(netns_cookie, dst);
        }
    }

    fn not_good(&self, netns_cookie: u64, dst: SocketAddr) {
        self.failures.note((netns_cookie, dst));
        if let Err(error) = self.maps.forget_good(netns_cookie, dst) {
            tracing::debug!(%error, "a destination that failed cannot be forgotten");
        }
    }
}

/// When destinations failed for the last time. Only failures and sweeps of the pool meet its lock.
#[derive(Default)]
struct Failures {
    last: Mutex<HashMap<(u64, SocketAddr), Instant>>,
}

impl Failures {
    fn note(&self, place: (u64, SocketAddr)) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= FAILURES_MAX && !last.contains_key(&place) {
            last.retain(|_, at| now.saturating_duration_since(*at) < FAILURES_KEPT);
        }
        if last.len() >= FAILURES_MAX && !last.contains_key(&place) {
            // Whoever fails that much is not many destinations of a program, but a scan.
            last.clear();
        }
        last.insert(place, now);
    }

    fn any_after(&self, since: Instant, place: (u64, SocketAddr)) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&place).is_some_and(|at| *at >= since)
    }
}

/// Failures that are remembered.
const FAILURES_MAX: usize = 4096;
/// How long they are, when there are too many: an idle connection lives no longer by default.
const FAILURES_KEPT: Duration = Duration::from_secs(90);

impl From<&FlowKey> for kernel::FlowKey {
    fn from(key: &FlowKey) -> Self {
        Self { client: key.client(), listener: key.listener(), netns_cookie: key.netns_cookie() }
    }
}

impl From<&kernel::FlowKey> for FlowKey {
    fn from(key: &kernel::FlowKey) -> Self {
        Self::new(key.client, key.listener, key.netns_cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_speaks_against_what_was_idle_before_it_and_not_after() {
        let (failures, place) = (Failures::default(), (1, SocketAddr::from(([10, 0, 0, 1], 80))));
        let before = Instant::now();
        assert!(!failures.any_after(before, place));
        tokio::time::advance(Duration::from_secs(1)).await;
        failures.note(place);
        assert!(failures.any_after(before, place));
        assert!(!failures.any_after(before, (2, place.1)), "another namespace");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!failures.any_after(Instant::now(), place));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_bounded_and_the_last_one_is_remembered() {
        let failures = Failures::default();
        let since = Instant::now();
        for host in 0..2 * FAILURES_MAX {
            let place = (host as u64, SocketAddr::from(([10, 0, 0, 1], 80)));
            failures.note(place);
            assert!(failures.any_after(since, place));
        }
        assert!(failures.last.lock().expect("no panic").len() <= FAILURES_MAX);
    }
}
