// SPDX-License-Identifier: Apache-2.0
//! The addresses of configured endpoints and hosts, looked up again and again, and the choice among them.

use std::{
    collections::HashSet,
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use super::state::RouteState;
use crate::policy::{facts::Names, route::RouteTable};

/// How often names are looked up again: getaddrinfo does not tell for how long an answer holds.
const REFRESH: Duration = Duration::from_secs(30);

/// How soon names are looked up again when one could not be.
const REFRESH_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How long the first look-up may take before traffic is served without it.
const FIRST_LIMIT: Duration = Duration::from_secs(5);

/// Names that are looked up at a time: each takes a thread.
const AT_A_TIME: usize = 8;

/// The names that a configuration mentions, and their addresses.
pub struct Endpoints {
    wanted: Vec<String>,
    names: ArcSwap<Names>,
    /// Those that could not be looked up the last time.
    missing: Mutex<HashSet<String>>,
}

impl Endpoints {
    /// The names of `table`, none of them looked up yet.
    pub fn new(table: &RouteTable) -> Self {
        let wanted = table.names_to_resolve().into_iter().map(str::to_owned).collect();
        Self { wanted, names: ArcSwap::default(), missing: Mutex::default() }
    }

    /// The addresses that are known now.
    pub fn names(&self) -> Guard<Arc<Names>> {
        self.names.load()
    }

    /// Looks all names up once, before traffic is served.
    pub async fn resolve_first(&self) {
        if tokio::time::timeout(FIRST_LIMIT, self.resolve()).await.is_err() {
            tracing::warn!("names of the configuration are still being looked up; going on without them");
        }
    }

    /// Looks all names up for ever, and tells their addresses each time.
    pub async fn keep_resolved(&self, mut tell: impl FnMut(&Names)) {
        if self.wanted.is_empty() {
            return;
        }
        let all = {
            let names = self.names();
            self.wanted.iter().all(|name| !names.addresses(name).is_empty())
        };
        let mut pause = if all { REFRESH } else { REFRESH_AFTER_FAILURE };
        loop {
            sleep(pause).await;
            pause = if self.resolve().await { REFRESH } else { REFRESH_AFTER_FAILURE };
            tell(&self.names());
        }
    }

    /// Looks all names up, a few at a time; `false` if one could not be. Each is known as soon as it is found, so that
    /// one whose server is silent does not hold up the others.
    async fn resolve(&self) -> bool {
        let lookups: Vec<_> = self.wanted.iter().map(|name| self.look_up(name)).collect();
        stream::iter(lookups).buffer_unordered(AT_A_TIME).fold(true, |all, found| ready(all && found)).await
    }

    /// Looks a name up; one that cannot be keeps its last addresses.
    async fn look_up(&self, name: &str) -> bool {
        match tokio::net::lookup_host((name, 0)).await {
            Ok(found) => {
                let addresses: Vec<_> = found.map(|address| address.ip()).collect();
                self.names.rcu(|names| {
                    let mut names = Names::clone(names);
                    names.insert(name, addresses.clone());
                    names
                });
                if self.missing().remove(name) {
                    tracing::warn!(name, "a name of the configuration can be looked up again");
                }
                true
            }
            Err(error) => {
                if self.missing().insert(name.to_owned()) {
                    self.say_missing(name, &error);
                }
                false
            }
        }
    }

    fn say_missing(&self, name: &str, error: &std::io::Error) {
        if self.names.load().addresses(name).is_empty() {
            tracing::warn!(
                name,
                %error,
                "cannot look up a name of the configuration: until it can be, connects to it are not known to be its route's \
                 (requests that name it are), so that they are not retried, and an endpoint of this name is not used. Is it \
                 right, and known to this machine's resolver? `cidrs` need no look-up"
            );
        } else {
            tracing::warn!(name, %error, "cannot look up a name of the configuration any more: its last addresses are kept");
        }
    }

    fn missing(&self) -> MutexGuard<'_, HashSet<String>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the next attempt of `state`'s route goes: its upstream's endpoint whose turn it is, another one than the
    /// one that just failed if there is one; the original destination without endpoints, or if no name of theirs
    /// has an address.
    pub fn pick(
        &self,
        state: &RouteState,
        original_dst: SocketAddr,
        failed: Option<SocketAddr>,
    ) -> SocketAddr {
        let addresses = self.addresses(state);
        let avoid = failed.and_then(|failed| addresses.iter().position(|address| *address == failed));
        state.balance.pick(addresses.len(), avoid).map_or(original_dst, |turn| addresses[turn])
    }

    /// Whether `candidate` is where an attempt of `state`'s route may go.
    pub fn may_go_to(&self, state: &RouteState, original_dst: SocketAddr, candidate: SocketAddr) -> bool {
        let addresses = self.addresses(state);
        if addresses.is_empty() { candidate == original_dst } else { addresses.contains(&candidate) }
    }

    fn addresses(&self, state: &RouteState) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        if state.route.endpoints().is_empty() {
            return addresses;
        }
        let names = self.names.load();
        for endpoint in state.route.endpoints() {
            match endpoint.host.parse() {
                Ok(ip) => addresses.push(SocketAddr::new(ip, endpoint.port)),
                Err(_) => addresses.extend(
                    names.addresses(&endpoint.host).iter().map(|ip| SocketAddr::new(*ip, endpoint.port)),
                ),
            }
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::route::{Endpoint, Route, Upstream},
        telemetry::Telemetry,
        upstream::state::States,
    };

    #[tokio::test]
    async fn endpoints_take_turns_and_a_failed_one_is_avoided() {
        let endpoint = |host: &str, port| Endpoint { host: host.into(), port };
        let upstream = Upstream {
            endpoints: vec![endpoint("10.0.0.1", 80), endpoint("10.0.0.2", 80)],
            ..Upstream::default()
        };
        let route = Arc::new(Route { upstream: Some(Arc::new(upstream)), ..Route::default() });
        let table = RouteTable { routes: vec![Arc::clone(&route)], ..RouteTable::default() };
        let endpoints = Endpoints::new(&table);
        endpoints.resolve_first().await;
        let original: SocketAddr = ([192, 0, 2, 1], 80).into();
        let state = States::new(Telemetry::silent()).of(&route, original);
        let picks: Vec<_> = (0..4).map(|_| endpoints.pick(&state, original, None).ip().to_string()).collect();
        assert_eq!(picks, ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"]);
        for _ in 0..4 {
            let failed = ([10, 0, 0, 2], 80).into();
            assert_ne!(endpoints.pick(&state, original, Some(failed)), failed);
        }
    }

    #[test]
    fn without_endpoints_or_addresses_the_original_destination_is_used() {
        let original: SocketAddr = ([192, 0, 2, 1], 80).into();
        let unresolved = Upstream {
            endpoints: vec![Endpoint { host: "nowhere.invalid".into(), port: 1 }],
            ..Upstream::default()
        };
        for upstream in [None, Some(Arc::new(unresolved))] {
            let route = Arc::new(Route { upstream, ..Route::default() });
            let state = States::new(Telemetry::silent()).of(&route, original);
            let endpoints = Endpoints::new(&RouteTable::default());
            assert_eq!(endpoints.pick(&state, original, None), original);
        }
    }
}
