// SPDX-License-Identifier: Apache-2.0
//! How much may be under way at once, per upstream or route: connections, requests, waiting requests, retries.
//!
//! A limit keeps one slow upstream from taking everything. It only counts and refuses: waiting is the caller's, and a
//! refusal is a local rejection, which must never count as a failure of the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Limits of an upstream or route (`connectionPool`; Envoy `circuit_breakers.thresholds`). `None` means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkheadLimits {
    /// Open connections (`maxConnections`).
    pub max_connections: Option<u32>,
    /// Requests that wait for a place (`maxPendingRequests`).
    pub max_pending_requests: Option<u32>,
    /// Requests under way, until the end of the reply's body (`maxRequests`).
    pub max_requests: Option<u32>,
    /// Retries under way, the wait before them included (`maxRetries`).
    pub max_retries: Option<u32>,
    /// How long a request may wait for a place (`maxWait`); `None` refuses at once, unless `max_pending_requests` lets
    /// requests wait: then it is the caller's own limit.
    pub max_wait: Option<Duration>,
}

/// The places of one upstream or route, shared by all workers.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    /// Open connections.
    pub connections: Arc<Gate>,
    /// Requests that wait for a place among `requests`.
    pub pending: Arc<Gate>,
    /// Requests under way.
    pub requests: Arc<Gate>,
    /// Retries under way.
    pub retries: Arc<Gate>,
    /// How long a pending request may wait, as [`BulkheadLimits::max_wait`] says.
    pub max_wait: Option<Duration>,
}

impl Bulkhead {
    /// Empty gates with these limits.
    pub fn new(limits: &BulkheadLimits) -> Self {
        Self {
            connections: Arc::new(Gate::new(limits.max_connections)),
            pending: Arc::new(Gate::new(limits.max_pending_requests)),
            requests: Arc::new(Gate::new(limits.max_requests)),
            retries: Arc::new(Gate::new(limits.max_retries)),
            max_wait: limits.max_wait,
        }
    }
}

/// A counting semaphore that refuses instead of waiting.
#[derive(Debug)]
pub struct Gate {
    limit: Option<u32>,
    inside: AtomicU32,
}

impl Gate {
    /// A gate with `limit` places; without a limit it only counts.
    pub const fn new(limit: Option<u32>) -> Self {
        Self { limit, inside: AtomicU32::new(0) }
    }

    /// Takes a place, or `None` if the gate is full. The place is given back when the permit is dropped.
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let limit = self.limit.unwrap_or(u32::MAX);
        self.inside
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |inside| (inside < limit).then(|| inside + 1))
            .ok()
            .map(|_| Permit { gate: Arc::clone(self) })
    }

    /// How many places are taken.
    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    /// How many places there are.
    pub const fn limit(&self) -> Option<u32> {
        self.limit
    }
}

/// One place in a [`Gate`], held as long as this lives.
#[derive(Debug)]
#[must_use = "the place is given back at once when the permit is dropped"]
pub struct Permit {
    gate: Arc<Gate>,
}

impl Permit {
    /// Whether it is a place in `gate`.
    pub fn is_in(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }

    /// Whether there are only so many like it.
    pub fn is_limited(&self) -> bool {
        self.gate.limit.is_some()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_full_gate_refuses_until_a_permit_is_dropped() {
        let gate = Arc::new(Gate::new(Some(2)));
        let first = gate.try_enter();
        let second = gate.try_enter();
        assert!(first.is_some() && second.is_some() && gate.try_enter().is_none());
        drop(first);
        assert!(gate.try_enter().is_some());
        assert_eq!(gate.inside(), 1);
    }

    #[test]
    fn a_gate_without_limit_counts_and_one_of_zero_refuses_all() {
        let gate = Arc::new(Gate::new(None));
        let permits: Vec<_> = (0..10_000).filter_map(|_| gate.try_enter()).collect();
        assert_eq!((permits.len(), gate.inside()), (10_000, 10_000));
        assert!(Arc::new(Gate::new(Some(0))).try_enter().is_none());
    }

    #[test]
    fn never_more_than_the_limit_are_inside_under_concurrency() {
        let gate = Arc::new(Gate::new(Some(3)));
        let occupied = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(permit) = gate.try_enter() {
                            assert!(occupied.fetch_add(1, Ordering::SeqCst) < 3);
                            occupied.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert_eq!(gate.inside(), 0);
    }
}
