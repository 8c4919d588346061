// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next attempt: exponential, with full jitter.
//!
//! Full jitter spreads clients that failed together over the whole interval, so that they do not come back together.
//! It must never exceed `max` and never overflow, whatever the attempt's number.

use std::time::Duration;

/// Exponential backoff with full jitter (Envoy `retry_back_off`: `base_interval`, `max_interval`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the wait before the first retry; doubles with each further one.
    pub base: Duration,
    /// Upper bound of every wait.
    pub max: Duration,
}

impl Default for Backoff {
    /// 25 ms, at most 1 s.
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_secs(1) }
    }
}
