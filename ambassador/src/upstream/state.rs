// SPDX-License-Identifier: Apache-2.0
//! What all requests of a route to one upstream share: breakers, retry budget, limits, whose turn it is.
//!
//! The state of a configured upstream is shared by all of its routes; without one, each original destination has a
//! state of its own. Workers share it, so everything in it is atomic; each worker caches what it has looked up, so
//! that the registry's lock is taken once per worker, route and destination, never per request.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use foldhash::fast::RandomState;

use crate::{
    policy::{
        balance::RoundRobin,
        breaker::{Breaker, BreakerPolicy},
        budget::Budget,
        bulkhead::Bulkhead,
        mode::Mode,
        route::Route,
    },
    telemetry::{
        Telemetry,
        event::{BreakerCreated, Destination},
        labels::{BreakerState, Enforcement},
    },
};

/// Destinations that have a state; beyond that, those that nobody uses are forgotten. Also how many a worker caches.
const MAX_STATES: usize = 4096;

/// The most breakers of a route: its upstream's and its own.
pub(super) const BREAKERS_MOST: usize = 2;

/// The shared state behind one route to one upstream. Each worker has a copy, whose parts are shared: what every request
/// counts itself in and out of would be a place where all workers meet.
#[derive(Clone)]
pub struct RouteState {
    /// The route.
    pub route: Arc<Route>,
    /// The upstream's breaker and the route's own, those that are configured.
    pub breakers: Vec<Arc<Breaker>>,
    /// Retries that all requests share.
    pub budget: Arc<Budget>,
    /// The upstream's limits, and the route's own if it has an upstream.
    pub bulkheads: Vec<Bulkhead>,
    /// Whose turn it is among the upstream's endpoints.
    pub balance: Arc<RoundRobin>,
    /// Where is said what happens to them. Here, because a handle per request would be counted by all workers.
    pub telemetry: Telemetry,
    /// What this is a worker's copy of: held, it is in use.
    _origin: Option<Arc<RouteState>>,
}

impl RouteState {
    /// What retries are paid from; mode shadow, which only thinks of them, spends nothing of what others share.
    pub fn budget(&self) -> Option<&Budget> {
        self.route.mode.acts().then_some(&*self.budget)
    }

    /// The route whose own the breaker at `position` is; `None` for the one that all routes of an upstream share.
    pub fn owner(&self, position: usize) -> Option<Arc<str>> {
        let shared = self.route.upstream.as_ref().is_some_and(|upstream| upstream.breaker.is_some());
        (position > 0 || !shared).then(|| Arc::clone(&self.route.name))
    }

    /// Whether the breaker at `position` refuses anything. One that routes share does as soon as one of them lets it.
    pub fn enforcement(&self, position: usize) -> Enforcement {
        let owner = if self.owner(position).is_some() { None } else { self.route.upstream.as_ref() };
        enforcement_of(owner.map_or(self.route.mode, |upstream| upstream.mode))
    }

    /// What a flow or request to `endpoint` is accounted to.
    pub fn destination(&self, endpoint: SocketAddr) -> Destination {
        Destination {
            upstream: self.route.upstream.as_ref().map(|upstream| Arc::clone(&upstream.name)),
            endpoint,
        }
    }
}

/// The states of all routes and upstreams.
pub struct States {
    telemetry: Telemetry,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    upstreams: HashMap<Key, Arc<UpstreamState>>,
    routes: HashMap<(Arc<str>, Key), Arc<RouteState>>,
    /// How many routes there must be before it is worth looking for unused ones again.
    sweep_at: usize,
}

/// A configured upstream by its name, or an original destination as one route sees it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Upstream(Arc<str>),
    Original(Arc<str>, SocketAddr),
}

struct UpstreamState {
    breaker: Option<Arc<Breaker>>,
    budget: Arc<Budget>,
    bulkhead: Bulkhead,
    balance: Arc<RoundRobin>,
}

thread_local! {
    static CACHE: RefCell<HashMap<(usize, SocketAddr), Arc<RouteState>, RandomState>> = RefCell::default();
}

impl States {
    /// No state yet; breakers are announced to `telemetry` as they come to exist.
    pub fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, shared: Mutex::default() }
    }

    /// The state of `route` for flows to `original_dst`.
    pub fn of(&self, route: &Arc<Route>, original_dst: SocketAddr) -> Arc<RouteState> {
        // The cached state keeps its route alive, so no other route can come to stand at the same address.
        let key = (Arc::as_ptr(route).addr(), original_dst);
        if let Some(state) = CACHE.with_borrow(|cache| cache.get(&key).cloned()) {
            return state;
        }
        let origin = self.look_up(route, original_dst);
        let state = Arc::new(RouteState { _origin: Some(Arc::clone(&origin)), ..RouteState::clone(&origin) });
        CACHE.with_borrow_mut(|cache| {
            if cache.len() >= MAX_STATES {
                cache.clear();
            }
            cache.insert(key, Arc::clone(&state));
        });
        state
    }

    fn look_up(&self, route: &Arc<Route>, original_dst: SocketAddr) -> Arc<RouteState> {
        let key = match &route.upstream {
            Some(upstream) => Key::Upstream(Arc::clone(&upstream.name)),
            None => Key::Original(Arc::clone(&route.name), original_dst),
        };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = shared.routes.get(&(Arc::clone(&route.name), key.clone())) {
            return Arc::clone(state);
        }
        let breaker_of = |policy: &Option<BreakerPolicy>, owner: Option<Arc<str>>| {
            let breaker = policy.clone().map(|policy| Arc::new(Breaker::new(policy)));
            let shared = if owner.is_none() { route.upstream.as_ref() } else { None };
            let mode = shared.map_or(route.mode, |upstream| upstream.mode);
            if breaker.is_some() && mode.decides() {
                let enforcement = enforcement_of(mode);
                let name = route.upstream.as_ref().map(|upstream| Arc::clone(&upstream.name));
                let destination = Destination { upstream: name, endpoint: original_dst };
                let state = BreakerState::Closed;
                self.telemetry.emit(&BreakerCreated { destination, route: owner, enforcement, state }.into());
            }
            breaker
        };
        shared.make_room();
        let upstream = Arc::clone(shared.upstreams.entry(key.clone()).or_insert_with(|| {
            let (breaker, limits) = match &route.upstream {
                Some(upstream) => (&upstream.breaker, &upstream.limits),
                None => (&route.breaker, &route.limits),
            };
            Arc::new(UpstreamState {
                breaker: breaker_of(breaker, route.upstream.is_none().then(|| Arc::clone(&route.name))),
                budget: Arc::new(Budget::new(&route.retry.budget)),
                bulkhead: Bulkhead::new(limits),
                balance: Arc::default(),
            })
        }));
        let mut breakers: Vec<_> = upstream.breaker.iter().cloned().collect();
        let mut bulkheads = vec![upstream.bulkhead.clone()];
        if route.upstream.is_some() {
            breakers.extend(breaker_of(&route.breaker, Some(Arc::clone(&route.name))));
            bulkheads.push(Bulkhead::new(&route.limits));
        }
        let state = Arc::new(RouteState {
            route: Arc::clone(route),
            breakers,
            budget: Arc::clone(&upstream.budget),
            bulkheads,
            balance: Arc::clone(&upstream.balance),
            telemetry: self.telemetry.clone(),
            _origin: None,
        });
        shared.routes.insert((Arc::clone(&route.name), key), Arc::clone(&state));
        state
    }
}

fn enforcement_of(mode: Mode) -> Enforcement {
    if mode.acts() { Enforcement::Enforce } else { Enforcement::Shadow }
}

impl Shared {
    /// Forgets original destinations that no flow and no worker's cache holds, once there are too many. What is left
    /// is in use, so the next look waits for as many again: it takes a moment, with the lock held.
    fn make_room(&mut self) {
        if self.routes.len() < self.sweep_at.max(MAX_STATES) {
            return;
        }
        self.routes.retain(|_, state| state.route.upstream.is_some() || Arc::strong_count(state) > 1);
        let used: HashSet<_> = self.routes.keys().map(|(_, key)| key).collect();
        self.upstreams.retain(|key, _| used.contains(key));
        self.sweep_at = 2 * self.routes.len();
    }
}

#[cfg(test)]
mod tests;
