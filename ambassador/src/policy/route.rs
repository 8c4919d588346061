// SPDX-License-Identifier: Apache-2.0
//! Routes and upstreams: what a rule matches, and what it does.
//!
//! A route chosen by a name that a program merely claims selects policy; it must never send the request anywhere but
//! where the program dialled, unless that address is one of the route's own.

mod table;
#[cfg(test)]
mod tests;

pub use table::{ByDestination, Explanation, RouteTable, Selection};

use super::breaker::BreakerPolicy;
use super::bulkhead::BulkheadLimits;
use super::facts::{L4Facts, L7Facts, Names};
use super::matcher::{Match, Protocol, Verdict};
use super::mode::Mode;
use super::retry::{NextAttempt, RetryPolicy};
use super::timeouts::Timeouts;
use std::net::IpAddr;
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
    /// When `connect()` succeeds.
    pub connect: ConnectMode,
    /// How long its idle connections are kept for other flows (`connectionPool`); `None`: they end with their flow.
    pub keep_idle: Option<Duration>,
    /// Nothing is configured: only what cannot change what the program sees may be done.
    pub transparent: bool,
}

impl Route {
    /// The limit of one connect. Policies that do not act must not make it shorter than it is without any.
    pub const fn connect_limit(&self) -> Duration {
        if self.mode.acts() { self.timeouts.connect } else { Timeouts::CONNECT_TRANSPARENT }
    }

    /// The limit of silence, where policies act.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.timeouts.idle.filter(|_| self.mode.acts())
    }
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
            connect: ConnectMode::default(),
            keep_idle: None,
            transparent: true,
        }
    }
}

/// What happens to new connects while the proxy is stuck: stopped, or deadlocked (`onProxyDown`).
///
/// A killed proxy takes the kernel programs with it: from then on every connect is direct, whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnProxyDown {
    /// They go direct.
    #[default]
    Bypass,
    /// They fail with `ECONNREFUSED`, as far as addresses and ports tell; see [`down`](super::down).
    Refuse,
}

/// A named destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The name in the configuration; a label of metrics.
    pub name: Arc<str>,
    /// Its endpoints; none means the original destination.
    pub endpoints: Vec<Endpoint>,
    /// The mode of the route to it whose policies may do most: what its breaker and limits may do.
    pub mode: Mode,
    /// Its breaker, shared by all routes to it.
    pub breaker: Option<BreakerPolicy>,
    /// Its limits, shared by all routes to it.
    pub limits: BulkheadLimits,
    /// How long an idle connection is kept for other flows (`connectionPool.idleTimeout`); `None`: it ends with its
    /// flow.
    pub keep_idle: Option<Duration>,
}

impl Default for Upstream {
    /// An unnamed upstream at the original destination: no breaker, no limits, connections that end with their flow.
    fn default() -> Self {
        Self {
            name: Arc::from(""),
            endpoints: Vec::new(),
            mode: Mode::default(),
            breaker: None,
            limits: BulkheadLimits::default(),
            keep_idle: None,
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

/// When `connect()` of an intercepted program succeeds (`connect`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConnectMode {
    /// When its destination has accepted; otherwise it fails as it would have directly.
    #[default]
    Truthful,
    /// At once; a failure is told in the protocol, or by a reset.
    Eager,
}

impl ConnectMode {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truthful => "truthful",
            Self::Eager => "eager",
        }
    }
}

impl Route {
    fn test(&self, l4: &L4Facts<'_>, l7: Option<&L7Facts<'_>>, names: &Names) -> Verdict {
        self.matcher.test(l4, l7, self.endpoints(), names)
    }

    /// The endpoints that its requests go to; none means the original destination.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.upstream.as_ref().map_or(&[], |upstream| &upstream.endpoints)
    }

    /// Where a further attempt may go: a name may have several addresses.
    pub fn next_attempt(&self) -> NextAttempt {
        match self.endpoints() {
            [] => NextAttempt::SameAddress,
            [only] if only.host.parse::<IpAddr>().is_ok() => NextAttempt::SameAddress,
            _ => NextAttempt::AnyEndpoint,
        }
    }

    fn is_host_mismatch(&self, l4: &L4Facts<'_>, l7: &L7Facts<'_>, names: &Names) -> bool {
        if self.endpoints().is_empty() || !self.matcher.is_by_name() {
            return false;
        }
        let ip = l4.ip();
        let claimed = |name| self.matcher.fits_host(name) && names.has(name, ip);
        let own = || self.endpoints().iter().any(|endpoint| names.has(&endpoint.host, ip));
        // Without a claim the route was chosen by the address itself.
        l7.names().next().is_some() && !l7.names().any(claimed) && !own()
    }
}
