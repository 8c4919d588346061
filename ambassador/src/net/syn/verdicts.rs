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

use super::{
    FlowKey,
    dialling::{Near, Verdicts},
};
use crate::kernel::{self, KernelMaps, Ticket};

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
    fn allow(&self, key: &FlowKey, ticket: Ticket) -> io::Result<bool> {
        if self.maps.admit_at_once(ticket) {
            return Ok(true);
        }
        self.maps.admit(&key.into(), ticket).map_err(io::Error::other)
    }

    fn is_open(&self, key: &FlowKey, ticket: Ticket) -> bool {
        self.maps.is_open(&key.into(), ticket).unwrap_or_else(|error| {
            tracing::debug!(%error, "the kernel does not tell whether a connection is open");
            true
        })
    }

    fn settled(&self, ticket: Ticket) {
        self.maps.withdraw(ticket);
    }

    fn sweep(&self, seen: &mut Vec<u64>) {
        self.maps.sweep_verdicts(seen);
    }

    fn good(&self, netns_cookie: u64, dst: SocketAddr, near: Near<'_>) {
        // What is dialled all the time is told now and then.
        if !self.maps.is_good_for(netns_cookie, dst, KNOWN_GOOD * 3 / 4) && !is_same_host(dst, near) {
            self.maps.mark_good(netns_cookie, dst, KNOWN_GOOD);
        }
    }

    fn still_good(&self, netns_cookie: u64, dst: SocketAddr, near: Near<'_>, since: Instant) {
        if !self.failures.any_after(since, (netns_cookie, dst)) {
            self.good(netns_cookie, dst, near);
        }
    }

    fn not_good(&self, netns_cookie: u64, dst: SocketAddr) {
        self.failures.note((netns_cookie, dst));
        self.maps.forget_good(netns_cookie, dst);
    }
}

/// A destination as seen from a network namespace.
type Place = (u64, SocketAddr);

/// Whether a connection from `near` to `dst` leaves this host not at all. Such a destination is asked each time: that
/// takes no round trip, and it may stop to listen between two connects of a program that knows, being its server.
fn is_same_host(dst: SocketAddr, near: Near<'_>) -> bool {
    dst.ip().to_canonical().is_loopback() || near().is_some_and(|near| near.ip() == dst.ip())
}

/// When destinations failed for the last time. Only failures and sweeps of the pool meet its lock.
#[derive(Default)]
struct Failures {
    last: Mutex<HashMap<Place, Instant>>,
}

impl Failures {
    fn note(&self, place: Place) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= PLACES_MAX && !last.contains_key(&place) {
            last.retain(|_, at| now.saturating_duration_since(*at) < FAILURES_KEPT);
        }
        if last.len() >= PLACES_MAX && !last.contains_key(&place) {
            // Whoever fails that much is not many destinations of a program, but a scan.
            last.clear();
        }
        last.insert(place, now);
    }

    fn any_after(&self, since: Instant, place: Place) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&place).is_some_and(|at| *at >= since)
    }
}

/// Places that are remembered.
const PLACES_MAX: usize = 4096;
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

    #[test]
    fn a_destination_on_this_host_is_found_by_both_ends() {
        let at = |text: &str| text.parse().expect("an address");
        assert!(is_same_host(at("127.0.0.1:80"), &|| None));
        assert!(is_same_host(at("[::1]:80"), &|| None));
        assert!(is_same_host(at("[::ffff:127.0.0.2]:80"), &|| None));
        assert!(is_same_host(at("10.0.0.1:80"), &|| Some(at("10.0.0.1:40000"))));
        assert!(!is_same_host(at("10.0.0.1:80"), &|| Some(at("10.0.0.2:40000"))));
        assert!(!is_same_host(at("10.0.0.1:80"), &|| None));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_bounded_and_the_last_one_is_remembered() {
        let failures = Failures::default();
        let since = Instant::now();
        for host in 0..2 * PLACES_MAX {
            let place = (host as u64, SocketAddr::from(([10, 0, 0, 1], 80)));
            failures.note(place);
            assert!(failures.any_after(since, place));
        }
        assert!(failures.last.lock().expect("no panic").len() <= PLACES_MAX);
    }
}
