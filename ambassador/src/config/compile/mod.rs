// SPDX-License-Identifier: Apache-2.0
//! The document → the policies that the program runs on. Pure, and every mistake is found in one go.
//!
//! Names are resolved and defaults filled in here, and the rules *between* values are checked; the range of each value
//! was checked by its type. It must never look at the host: the same text gives the same configuration everywhere.

mod breaker;
mod layers;
mod limits;
mod lint;
mod matcher;
mod route;
mod timing;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::route::{OnProxyDown, Route, RouteTable, Upstream};

use super::hint;
use super::node::{At, Place};
use super::origin::{Origins, Scope};
use super::problem::Problem;
use super::raw::{RawConfig, RawIntercept, RawPolicy, RawTelemetry};
use super::reader::Reader;
use super::settings::{AccessLog, Config, Intercept, Telemetry};
use super::text::Name;
use super::words::OutboundPolicy;

use layers::{Layer, Layers};

/// Compiles a document under the policy flags; what is wrong goes to `reader`.
pub(crate) fn compile(raw: &RawConfig, flags: &RawPolicy, file: &str, reader: &mut Reader) -> Config {
    let defaults = raw.defaults.as_ref().map(|at| Layer::from(&at.value)).unwrap_or_default();
    if let Some(at) = defaults.retry.and_then(|retry| retry.value.idempotent.as_ref()).filter(|at| at.value) {
        reader.problem(at.place, Problem::IdempotentDefaults);
    }
    let inherited = [Layer::from(flags), defaults];
    let mut origins = Origins::new(file);

    let default_route = default_route(raw, inherited, &mut origins, reader);
    let upstreams = upstreams(raw, inherited, &mut origins, reader);
    let routes = routes(raw, inherited, &upstreams, &mut origins, reader);
    Config {
        table: RouteTable { routes, default_route: Arc::new(default_route), deny_unmatched: denies(raw) },
        upstreams,
        intercept: raw.intercept.as_ref().map(|at| intercept(&at.value)).unwrap_or_default(),
        telemetry: raw.telemetry.as_ref().map(|at| telemetry(&at.value)).unwrap_or_default(),
        origins,
    }
}

fn denies(raw: &RawConfig) -> bool {
    raw.outbound.as_ref().is_some_and(|at| at.value.0 == OutboundPolicy::Deny)
}

fn default_route(
    raw: &RawConfig,
    inherited: [Layer<'_>; 2],
    origins: &mut Origins,
    reader: &mut Reader,
) -> Route {
    let says_nothing = inherited.iter().all(|layer| layer.on_proxy_down.is_none());
    let mut layers = Layers { scope: Scope::DefaultRoute, stack: inherited.to_vec(), origins, reader };
    let mut default_route = route::policies(&mut layers, None);
    if denies(raw) && says_nothing {
        default_route.on_proxy_down = OnProxyDown::Refuse;
    }
    default_route
}

fn upstreams(
    raw: &RawConfig,
    inherited: [Layer<'_>; 2],
    origins: &mut Origins,
    reader: &mut Reader,
) -> Vec<Arc<Upstream>> {
    let Some(written) = &raw.upstreams else { return Vec::new() };
    unique("upstreams", written.value.iter().filter_map(|at| at.value.name.as_ref()), reader);
    // The modes of the routes to an upstream.
    let modes = |name: &Name| {
        let routes = raw.routes.iter().flat_map(|routes| &routes.value).map(|route| &route.value);
        let routes = routes.filter(|route| route.upstream.as_ref().is_some_and(|to| to.value == *name));
        let inherited = inherited.iter().find_map(|layer| layer.mode);
        let modes = routes.map(|route| route.mode.as_ref().or(inherited).map(|at| at.value.0));
        modes.map(Option::unwrap_or_default).min()
    };
    let mut upstreams = Vec::new();
    for (position, at) in written.value.iter().enumerate() {
        let mode = at.value.name.as_ref().and_then(|name| modes(&name.value));
        if let Some(name) = at.value.name.as_ref().filter(|_| mode.is_none()) {
            reader.problem(name.place, Problem::UnusedUpstream { name: name.value.0.clone() });
        }
        let scope = Scope::Upstream(position);
        let mut layers = Layers { scope, stack: inherited.to_vec(), origins, reader };
        let upstream = upstream::upstream(&mut layers, &at.value);
        upstreams.push(Arc::new(Upstream { mode: mode.unwrap_or_default(), ..upstream }));
    }
    upstreams
}

fn routes(
    raw: &RawConfig,
    inherited: [Layer<'_>; 2],
    upstreams: &[Arc<Upstream>],
    origins: &mut Origins,
    reader: &mut Reader,
) -> Vec<Arc<Route>> {
    let Some(written) = &raw.routes else { return Vec::new() };
    unique("routes", written.value.iter().filter_map(|at| at.value.name.as_ref()), reader);
    let mut routes: Vec<Arc<Route>> = Vec::new();
    for (position, at) in written.value.iter().enumerate() {
        let upstream = at.value.upstream.as_ref().and_then(|name| find_upstream(name, upstreams, reader));
        let [flags, defaults] = inherited;
        let stack = vec![Layer::from(&at.value), flags, defaults];
        let mut layers = Layers { scope: Scope::Route(position), stack, origins, reader };
        let route = route::route(&mut layers, at, upstream);
        let earlier = routes.iter().find(|earlier| lint::covers(&earlier.matcher, &route.matcher));
        if let (Some(earlier), Some(name)) = (earlier, &at.value.name) {
            let (route, earlier) = (route.name.to_string(), earlier.name.to_string());
            reader.problem(name.place, Problem::ShadowedRoute { route, earlier });
        }
        if let Some(name) = at.value.upstream.as_ref().filter(|_| lint::takes_every_address(&route)) {
            let (route, upstream) = (route.name.to_string(), name.value.0.clone());
            reader.problem(name.place, Problem::EveryAddress { route, upstream });
        }
        routes.push(Arc::new(route));
    }
    routes
}

fn find_upstream(name: &At<Name>, upstreams: &[Arc<Upstream>], reader: &mut Reader) -> Option<Arc<Upstream>> {
    let found = upstreams.iter().find(|upstream| *upstream.name == name.value.0).map(Arc::clone);
    // An upstream whose own name was refused may be the one that is meant.
    if found.is_none() && upstreams.iter().all(|upstream| !upstream.name.is_empty()) {
        let suggestion = hint::closest(&name.value.0, upstreams.iter().map(|upstream| &*upstream.name));
        let suggestion = suggestion.map(str::to_owned);
        reader.problem(name.place, Problem::UnknownUpstream { name: name.value.0.clone(), suggestion });
    }
    found
}

fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a At<Name>>, reader: &mut Reader) {
    let mut first: HashMap<&str, u32> = HashMap::new();
    for At { value: Name(name), place } in names {
        let line = match place {
            Place::File(span) => span.line,
            Place::Flag(_) => 0,
        };
        if let Some(first) = first.get(name.as_str()) {
            reader.problem(*place, Problem::DuplicateName { kind, name: name.clone(), first: *first });
        } else {
            first.insert(name, line);
        }
    }
}

fn intercept(raw: &RawIntercept) -> Intercept {
    let exclude = raw.exclude.as_ref().map(|at| &at.value);
    let cidrs = exclude.and_then(|exclude| exclude.cidrs.as_ref());
    let ports = exclude.and_then(|exclude| exclude.ports.as_ref());
    Intercept {
        exclude_cidrs: cidrs.map(|list| list.value.iter().map(|at| at.value).collect()).unwrap_or_default(),
        exclude_ports: ports
            .map(|list| list.value.iter().map(|at| at.value.narrow()).collect())
            .unwrap_or_default(),
        loopback: raw.loopback.as_ref().is_some_and(|at| at.value),
        self_test: raw.self_test.as_ref().map_or(Intercept::default().self_test, |at| at.value.0),
    }
}

fn telemetry(raw: &RawTelemetry) -> Telemetry {
    let listen = raw.metrics.as_ref().and_then(|metrics| metrics.value.listen.as_ref());
    Telemetry {
        metrics_listen: listen.map(|at| at.value),
        access_log: raw.access_log.as_ref().and_then(|log| {
            let path = log.value.path.as_ref()?.value.clone();
            Some(AccessLog {
                path,
                format: log.value.format.as_ref().map(|at| at.value.0).unwrap_or_default(),
            })
        }),
    }
}
