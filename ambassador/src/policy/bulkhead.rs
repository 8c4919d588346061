// SPDX-License-Identifier: Apache-2.0
//! How much may be under way at once, per upstream or route: connections, requests, waiting requests, retries.
//!
//! A limit keeps one slow upstream from taking everything. It only counts and refuses: waiting is the caller's, and a
//! refusal is a local rejection, which must never count as a failure of the upstream.

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
    /// How long a request may wait for a place (`maxWait`); `None` refuses at once.
    pub max_wait: Option<Duration>,
}
