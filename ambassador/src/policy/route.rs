// SPDX-License-Identifier: Apache-2.0
//! Routes, upstreams, and the table in which the first match wins.
//!
//! A route chosen by a name that a program merely claims selects policy; it must never send the request anywhere but
//! where the program dialled, unless that address is one of the route's own.

#[cfg(test)]
mod tests;

use super::breaker::BreakerPolicy;
use super::bulkhead::BulkheadLimits;
use super::facts::{L4Facts, L7Facts, Names};
use super::matcher::{Match, Protocol, Verdict, WhyNot};
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

/// The route of a flow or request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection<'t> {
    /// The first route that matches, or the default one.
    pub route: &'t Arc<Route>,
    /// The route has endpoints and was chosen by a name that the program claims, but what it dialled is neither an
    /// address of that name nor one of the endpoints: the request goes on to where it was dialled, and is counted.
    pub host_mismatch: bool,
    /// No route matches and the table denies that.
    pub denied: bool,
}

/// What the dialled address alone says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ByDestination<'t> {
    /// Nothing that the first bytes tell can change the route.
    Decided(Selection<'t>),
    /// The first bytes decide.
    Undecided {
        /// The first route that may still match; its connect limit serves the dial that is made meanwhile.
        first: &'t Arc<Route>,
    },
}

/// One route's verdict, for `ambassador explain`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The route.
    pub route: Arc<Route>,
    /// Whether it matches; the first that does is chosen.
    pub verdict: Result<(), WhyNot>,
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

impl RouteTable {
    /// Whether the dialled address alone decides the route, and which it is then.
    pub fn for_destination(&self, l4: &L4Facts<'_>, names: &Names) -> ByDestination<'_> {
        for route in &self.routes {
            match route.test(l4, None, names) {
                Verdict::Yes => return ByDestination::Decided(Selection::of(route)),
                Verdict::NeedsL7 => return ByDestination::Undecided { first: route },
                Verdict::No(_) => {}
            }
        }
        ByDestination::Decided(self.unmatched())
    }

    /// Whether any route does anything that a program could notice.
    pub fn may_act(&self) -> bool {
        self.deny_unmatched
            || self
                .routes
                .iter()
                .chain([&self.default_route])
                .any(|route| !route.transparent && route.mode.acts())
    }

    /// When `connect()` to the dialled address succeeds: at once, if any route that may apply wants that.
    pub fn connect_mode(&self, l4: &L4Facts<'_>, names: &Names) -> ConnectMode {
        for route in &self.routes {
            match route.test(l4, None, names) {
                Verdict::Yes => return route.connect,
                Verdict::NeedsL7 if route.connect == ConnectMode::Eager => return ConnectMode::Eager,
                Verdict::NeedsL7 | Verdict::No(_) => {}
            }
        }
        self.default_route.connect
    }

    /// Whether any connect may have to be held.
    pub fn any_connect_mode(&self) -> ConnectMode {
        let mut routes = self.routes.iter().chain([&self.default_route]);
        let truthful = routes.any(|route| route.connect == ConnectMode::Truthful);
        if truthful { ConnectMode::Truthful } else { ConnectMode::Eager }
    }

    /// The route, once the first bytes are known or known to be opaque. Total: there always is one.
    pub fn select(&self, l4: &L4Facts<'_>, l7: &L7Facts<'_>, names: &Names) -> Selection<'_> {
        if self.routes.is_empty() {
            return self.unmatched();
        }
        let claims = l7.claims();
        let matches = |route: &&Arc<Route>| {
            route.matcher.test_claims(l4, (l7, &claims), route.endpoints(), names) == Verdict::Yes
        };
        let found = self.routes.iter().find(matches);
        found.map_or_else(
            || self.unmatched(),
            |route| Selection {
                host_mismatch: route.is_host_mismatch(l4, l7, names),
                ..Selection::of(route)
            },
        )
    }

    /// Every configured route's verdict, in order. If none matches, the default route applies.
    pub fn explain(&self, l4: &L4Facts<'_>, l7: &L7Facts<'_>, names: &Names) -> Vec<Explanation> {
        let explain = |route: &Arc<Route>| Explanation {
            route: Arc::clone(route),
            verdict: match route.test(l4, Some(l7), names) {
                Verdict::No(why) => Err(why),
                Verdict::Yes | Verdict::NeedsL7 => Ok(()),
            },
        };
        self.routes.iter().map(explain).collect()
    }

    /// Every name whose addresses matching needs: exact `hosts` of routes, and endpoints. Sorted, each once.
    pub fn names_to_resolve(&self) -> Vec<&str> {
        let routes = || self.routes.iter().chain([&self.default_route]);
        let hosts = routes().flat_map(|route| route.matcher.exact_hosts());
        let endpoints = routes().flat_map(|route| route.endpoints().iter().map(|it| it.host.as_str()));
        let mut names: Vec<_> =
            hosts.chain(endpoints).filter(|name| name.parse::<IpAddr>().is_err()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn unmatched(&self) -> Selection<'_> {
        Selection { denied: self.deny_unmatched, ..Selection::of(&self.default_route) }
    }
}

impl<'t> Selection<'t> {
    const fn of(route: &'t Arc<Route>) -> Self {
        Self { route, host_mismatch: false, denied: false }
    }
}
