// SPDX-License-Identifier: Apache-2.0
//! How many retries an upstream bears: a share of its recent requests, plus a few per second.
//!
//! Attempts per request bound the retries of one request; only a budget bounds what retries add to an upstream that
//! fails for everyone. It must never let more through than was put in, however many workers ask at once.

use std::time::Duration;

/// A retry budget (`retry.budget`; Finagle's and Linkerd's `RetryBudget`).
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// Retries allowed per request of the last `ttl` (`retryRatio`); 0.2 is 20 %. Rounded to thousandths.
    pub retry_ratio: f64,
    /// Retries per second allowed on top, so that a quiet upstream can be retried too (`minRetriesPerSecond`).
    pub min_retries_per_second: u32,
    /// How long a request counts (`ttl`).
    pub ttl: Duration,
}

impl Default for BudgetPolicy {
    /// 20 % of the requests of the last 10 s, plus 10 per second.
    fn default() -> Self {
        Self { retry_ratio: 0.2, min_retries_per_second: 10, ttl: Duration::from_secs(10) }
    }
}
