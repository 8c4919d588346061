// SPDX-License-Identifier: Apache-2.0
//! How much may be under way at once, per upstream or route: connections, requests, waiting requests, retries.
//!
//! A limit keeps one slow upstream from taking everything. It counts, refuses, and knows whose turn it is; how long
//! anybody waits is the caller's. A refusal is a local rejection, which must never count as a failure of the upstream.

mod gate;

use std::sync::Arc;
use std::time::Duration;

pub use gate::{Enter, Gate, Permit};

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
    /// Who waits for a place among `requests` or `connections`.
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

    /// How long a pending request may wait: not at all, unless `maxWait` or `maxPendingRequests` lets it.
    pub fn patience(&self) -> Option<Duration> {
        self.max_wait.or(self.pending.limit().map(|_| MAX_WAIT))
    }
}

/// How long a request waits where `maxPendingRequests` lets it but `maxWait` does not say how long.
const MAX_WAIT: Duration = Duration::from_secs(30);
