// SPDX-License-Identifier: Apache-2.0
//! The table of routes, in which the first match wins.
//!
//! The data path and `ambassador explain` ask the same table, so that they cannot disagree.

use std::net::IpAddr;
use std::sync::Arc;

use super::{ConnectMode, Route};
use crate::policy::facts::{L4Facts, L7Facts, Names};
use crate::policy::matcher::{Verdict, WhyNot};

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
