// SPDX-License-Identifier: Apache-2.0
//! `connectionPool`, of routes and of upstreams.

use std::time::Duration;

use crate::config::node::At;
use crate::config::problem::Problem;
use crate::config::raw::{RawLimits, RawPool};
use crate::policy::bulkhead::BulkheadLimits;

use super::layers::Layers;

/// The limits of a route.
pub(super) fn limits(layers: &mut Layers<'_, '_>) -> BulkheadLimits {
    limits_over(layers, &RawLimits::default())
}

/// How long idle connections are kept for other flows: not at all, unless some layer has a `connectionPool`.
pub(super) fn keep_idle(layers: &Layers<'_, '_>) -> Option<Duration> {
    layers.stack.iter().any(|layer| layer.limits.is_some()).then_some(KEEP_IDLE)
}

/// The limits of an upstream, and how long its idle connections are kept for other flows.
pub(super) fn pool(
    layers: &mut Layers<'_, '_>,
    raw: Option<&At<RawPool>>,
) -> (BulkheadLimits, Option<Duration>) {
    let Some(At { value: raw, .. }) = raw else { return (limits(layers), keep_idle(layers)) };
    let idle = layers.note("connectionPool.idleTimeout", raw.idle_timeout.as_ref());
    let keep_idle = idle.map_or(KEEP_IDLE, |idle| idle.0);
    let own = RawLimits {
        max_connections: raw.max_connections.clone(),
        max_pending: raw.max_pending.clone(),
        max_requests: raw.max_requests.clone(),
        max_retries: raw.max_retries.clone(),
        max_wait: raw.max_wait.clone(),
        broken: raw.broken,
    };
    (limits_over(layers, &own), Some(keep_idle))
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
