// SPDX-License-Identifier: Apache-2.0
//! Routes, upstreams, and the table in which the first match wins.
//!
//! A route chosen by a name that a program merely claims selects policy; it must never send the request anywhere but
//! where the program dialled, unless that address is one of the route's own.

use super::breaker::BreakerPolicy;
use super::bulkhead::BulkheadLimits;
use super::matcher::{Match, Protocol};
use super::mode::Mode;
use super::retry::RetryPolicy;
use super::timeouts::Timeouts;
use std::sync::Arc;
use std::time::Duration;

/// A named rule: what it matches and what it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The name in the configuration; a label of metrics.
    pub name: Arc<str>,
    /// What it matches.
    pub matcher: Match,
    /// Whether its policies act.
    pub mode: Mode,
    /// Where it goes; `None` is the original destination.
    pub upstream: Option<Arc<Upstream>>,
    /// Its time limits.
    pub timeouts: Timeouts,
    /// Its retries.
    pub retry: RetryPolicy,
    /// A breaker of its own, besides the upstream's.
    pub breaker: Option<BreakerPolicy>,
    /// Limits of its own, besides the upstream's.
    pub limits: BulkheadLimits,
    /// The protocol that the operator declared; detection is skipped.
    pub declared_protocol: Option<Protocol>,
    /// What the kernel does with new connects while the proxy does not answer.
    pub on_proxy_down: OnProxyDown,
    /// Nothing is configured: only what cannot change what the program sees may be done.
    pub transparent: bool,
}

impl Default for Route {
    /// The zero-configuration route: matches everything, enforces nothing.
    fn default() -> Self {
        Self {
            name: Arc::from("default"),
            matcher: Match::default(),
            mode: Mode::default(),
            upstream: None,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            breaker: None,
            limits: BulkheadLimits::default(),
            declared_protocol: None,
            on_proxy_down: OnProxyDown::default(),
            transparent: true,
        }
    }
}

/// What happens to new connects when the proxy is dead or stuck (`onProxyDown`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnProxyDown {
    /// They go direct.
    #[default]
    Bypass,
    /// They fail.
    Refuse,
}

/// A named destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The name in the configuration; a label of metrics.
    pub name: Arc<str>,
    /// Its endpoints; none means the original destination.
    pub endpoints: Vec<Endpoint>,
    /// Its breaker, shared by all routes to it.
    pub breaker: Option<BreakerPolicy>,
    /// Its limits, shared by all routes to it.
    pub limits: BulkheadLimits,
    /// How long an idle pooled connection is kept (`connectionPool.idleTimeout`).
    pub idle_timeout: Duration,
}

impl Default for Upstream {
    /// An unnamed upstream at the original destination: no breaker, no limits, connections idle for 90 s at most.
    fn default() -> Self {
        Self {
            name: Arc::from(""),
            endpoints: Vec::new(),
            breaker: None,
            limits: BulkheadLimits::default(),
            idle_timeout: Duration::from_secs(90),
        }
    }
}

/// One configured endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name to resolve, or an IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// All routes, in order; the first that matches wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteTable {
    /// The configured routes.
    pub routes: Vec<Arc<Route>>,
    /// What applies when none matches.
    pub default_route: Arc<Route>,
    /// Whether what no route matches is refused (`outboundTrafficPolicy: Deny`).
    pub deny_unmatched: bool,
}
