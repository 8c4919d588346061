// SPDX-License-Identifier: Apache-2.0
//! The time limits of a route (`timeouts`).
//!
//! Only the limits; [`super::deadline`] turns them into what is left of a request. Upgraded streams are exempt from
//! `request` and `per_try`: the caller stops asking once an upgrade has happened.

use std::time::Duration;

/// Time limits of one route. `None` means that there is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Limit of one TCP connect to an upstream (Envoy `connect_timeout`).
    pub connect: Duration,
    /// Limit of one attempt, from its first byte written to the end of its reply's head (Envoy `per_try_timeout`).
    pub per_try: Option<Duration>,
    /// Limit of the whole request, all attempts and waits between them included (Envoy route `timeout`).
    pub request: Option<Duration>,
    /// Limit of silence in both directions; ends idle opaque flows too (Envoy `idle_timeout`).
    pub idle: Option<Duration>,
}

impl Timeouts {
    /// The connect limit where nothing is configured: long, because ambassador must not fail what worked without it.
    pub const CONNECT_TRANSPARENT: Duration = Duration::from_secs(10);
    /// The connect limit of a route with any policy.
    pub const CONNECT_CONFIGURED: Duration = Duration::from_secs(1);

    /// The defaults of a route with any policy.
    pub const fn configured() -> Self {
        Self { connect: Self::CONNECT_CONFIGURED, per_try: None, request: None, idle: None }
    }
}

impl Default for Timeouts {
    /// The zero-configuration limits: a connect limit of 10 s and nothing else.
    fn default() -> Self {
        Self { connect: Self::CONNECT_TRANSPARENT, per_try: None, request: None, idle: None }
    }
}
