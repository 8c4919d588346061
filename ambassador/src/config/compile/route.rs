// SPDX-License-Identifier: Apache-2.0
//! `routes`, and the default route of `defaults`.

use std::sync::Arc;

use crate::config::node::At;
use crate::config::problem::Problem;
use crate::config::raw::RawRoute;
use crate::policy::foresight::Foresight;
use crate::policy::retry::RetryCondition;
use crate::policy::route::{ConnectMode, Route, Upstream};
use crate::policy::timeouts::Timeouts;

use super::layers::{Layer, Layers};
use super::{breaker, limits, matcher, timing};

/// The route that `raw` describes, over `inherited` layers.
pub(super) fn route(
    layers: &mut Layers<'_, '_>,
    raw: &At<RawRoute>,
    upstream: Option<Arc<Upstream>>,
) -> Route {
    let criteria = matcher::matcher(raw.value.matcher.as_ref(), layers.reader);
    let mut route = policies(layers, upstream);
    route.declared_protocol = matcher::declared(&criteria);
    route.matcher = criteria;
    if let Some(name) = &raw.value.name {
        if name.value.0 == *Route::default().name {
            layers.problem(name.place, Problem::ReservedName { name: "default" });
        }
        route.name = Arc::from(name.value.0.as_str());
    }
    if let Some(retry) = &raw.value.retry
        && !retry.value.broken
        && layers.pick("retry.attempts", |layer| layer.retry?.value.attempts.as_ref()).is_none()
    {
        layers.problem(retry.place, Problem::RetryWithoutAttempts);
    }
    let named = raw.value.retry.as_ref().and_then(|retry| retry.value.retry_on.as_ref());
    if let (Some(at), Some(Foresight::None)) = (named, route.connect_retries())
        && at.value.0.iter().any(|condition| condition.value.0 == RetryCondition::ConnectFailure)
    {
        layers.problem(at.place, Problem::UnknownConnects);
    }
    layers.note("upstream", raw.value.upstream.as_ref());
    route
}

/// A route that matches everything, with the policies of the layers.
pub(super) fn policies(layers: &mut Layers<'_, '_>, upstream: Option<Arc<Upstream>>) -> Route {
    let transparent = upstream.is_none() && !layers.stack.iter().any(Layer::configures);
    let base = if transparent { Timeouts::default() } else { Timeouts::configured() };
    let timeouts = timing::timeouts(layers, base);
    let retry = timing::retry(layers);
    let mode = layers.pick("mode", |layer| layer.mode).map(|at| at.value.0).unwrap_or_default();
    let goes_elsewhere = upstream.as_ref().is_some_and(|upstream| !upstream.endpoints.is_empty());
    let natural = if goes_elsewhere { ConnectMode::Eager } else { ConnectMode::Truthful };
    let connect = layers.pick("connect", |layer| layer.connect).map_or(natural, |at| at.value.0);
    let on_proxy_down = layers.pick("onProxyDown", |layer| layer.on_proxy_down).map(|at| at.value.0);

    let keep_idle = limits::keep_idle(layers, None);

    // An upstream has the inherited breaker and limits itself, shared by its routes; here remain the route's own.
    let inherited = if upstream.is_some() { layers.stack.split_off(1) } else { Vec::new() };
    let written = layers.stack.iter().find_map(|layer| layer.breaker);
    let breaker = written.map(|written| breaker::breaker(layers, written));
    let limits = limits::limits(layers);
    layers.stack.extend(inherited);

    Route {
        mode,
        upstream,
        timeouts,
        retry,
        breaker,
        limits,
        on_proxy_down: on_proxy_down.unwrap_or_default(),
        connect,
        keep_idle,
        transparent,
        ..Route::default()
    }
}
