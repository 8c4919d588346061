// SPDX-License-Identifier: Apache-2.0
//! `connectionPool`, of routes and of upstreams.

use std::time::Duration;

use crate::config::node::At;
use crate::config::problem::Problem;
use crate::config::raw::RawLimits;
use crate::policy::bulkhead::BulkheadLimits;

use super::layers::Layers;

/// The limits of a route.
pub(super) fn limits(layers: &mut Layers<'_, '_>) -> BulkheadLimits {
    limits_over(layers, &RawLimits::default())
}

/// How long idle connections are kept for other flows: not at all, unless `own` or some layer has a `connectionPool`.
pub(super) fn keep_idle(layers: &mut Layers<'_, '_>, own: Option<&At<RawLimits>>) -> Option<Duration> {
    let is_configured = own.is_some() || layers.stack.iter().any(|layer| layer.limits.is_some());
    let own = own.and_then(|own| own.value.idle_timeout.as_ref());
    let idle =
        layers.own_or("connectionPool.idleTimeout", own, |layer| layer.limits?.value.idle_timeout.as_ref());
    is_configured.then(|| idle.map_or(KEEP_IDLE, |idle| idle.value.0))
}

/// The limits of an upstream, and how long its idle connections are kept for other flows.
pub(super) fn pool(
    layers: &mut Layers<'_, '_>,
    own: Option<&At<RawLimits>>,
) -> (BulkheadLimits, Option<Duration>) {
    let none = RawLimits::default();
    (limits_over(layers, own.map_or(&none, |own| &own.value)), keep_idle(layers, own))
}

/// The limits of `own`, and what it leaves open from the layers.
fn limits_over(layers: &mut Layers<'_, '_>, own: &RawLimits) -> BulkheadLimits {
    let connections = layers.own_or("connectionPool.maxConnections", own.max_connections.as_ref(), |layer| {
        layer.limits?.value.max_connections.as_ref()
    });
    let requests = layers.own_or("connectionPool.maxRequests", own.max_requests.as_ref(), |layer| {
        layer.limits?.value.max_requests.as_ref()
    });
    let pending = layers.own_or("connectionPool.maxPendingRequests", own.max_pending.as_ref(), |layer| {
        layer.limits?.value.max_pending.as_ref()
    });
    let retries = layers.own_or("connectionPool.maxRetries", own.max_retries.as_ref(), |layer| {
        layer.limits?.value.max_retries.as_ref()
    });
    let wait = layers.own_or("connectionPool.maxWait", own.max_wait.as_ref(), |layer| {
        layer.limits?.value.max_wait.as_ref()
    });
    if let (Some(pending), None, None) = (&pending, &connections, &requests) {
        layers.problem(pending.place, Problem::PendingWithoutLimit { pending: pending.value.0 });
    }
    BulkheadLimits {
        max_connections: connections.map(|at| at.value.0),
        max_pending_requests: pending.map(|at| at.value.0),
        max_requests: requests.map(|at| at.value.0),
        max_retries: retries.map(|at| at.value.0),
        max_wait: wait.and_then(|at| at.value.0),
    }
}

/// The default of `connectionPool.idleTimeout`.
const KEEP_IDLE: Duration = Duration::from_secs(90);
