// SPDX-License-Identifier: Apache-2.0
//! `timeouts` and `retry`.

use crate::config::problem::Problem;
use crate::config::raw::RawTimeouts;
use crate::config::reader::Reader;
use crate::policy::retry::{RetryCondition, RetryOn, RetryPolicy};
use crate::policy::timeouts::Timeouts;

use super::layers::Layers;

/// The time limits, over the defaults in `timeouts`.
pub(super) fn timeouts(layers: &mut Layers<'_, '_>, mut timeouts: Timeouts) -> Timeouts {
    let connect = layers.pick("timeouts.connect", |layer| layer.timeouts?.value.connect.as_ref());
    let request = layers.pick("timeouts.request", |layer| layer.timeouts?.value.request.as_ref());
    let per_try = layers.pick("timeouts.perTry", |layer| layer.timeouts?.value.per_try.as_ref());
    let idle = layers.pick("timeouts.idle", |layer| layer.timeouts?.value.idle.as_ref());
    timeouts.connect = connect.map_or(timeouts.connect, |at| at.value.0);
    timeouts.request = request.and_then(|at| at.value.0);
    timeouts.per_try = per_try.and_then(|at| at.value.0);
    timeouts.idle = idle.and_then(|at| at.value.0);
    for raw in layers.stack.iter().filter_map(|layer| layer.timeouts) {
        check_order(&raw.value, layers.reader);
    }
    timeouts
}

/// Limits that were written together must make sense together; a shorter inherited one is simply the first to end.
fn check_order(raw: &RawTimeouts, reader: &mut Reader) {
    let Some(request) = raw.request.as_ref().and_then(|at| at.value.0) else { return };
    if let Some(at) = &raw.per_try
        && let Some(per_try) = at.value.0.filter(|per_try| *per_try > request)
    {
        reader.problem(at.place, Problem::PerTryOverRequest { per_try, request });
    }
    if let Some(at) = raw.connect.as_ref().filter(|at| at.value.0 > request) {
        reader.problem(at.place, Problem::ConnectOverRequest { connect: at.value.0, request });
    }
}

/// The retry rules.
pub(super) fn retry(layers: &mut Layers<'_, '_>) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    if let Some(attempts) = layers.pick("retry.attempts", |layer| layer.retry?.value.attempts.as_ref()) {
        policy.attempts = attempts.value.0;
    }
    conditions(layers, &mut policy);
    backoff(layers, &mut policy);
    budget(layers, &mut policy);
    if let Some(size) =
        layers.pick("retry.maxReplayBytes", |layer| layer.retry?.value.max_replay_bytes.as_ref())
    {
        policy.max_replay_bytes = size.value.0;
    }
    policy
}

fn conditions(layers: &mut Layers<'_, '_>, policy: &mut RetryPolicy) {
    let retry_on = layers.pick("retry.retryOn", |layer| layer.retry?.value.retry_on.as_ref());
    if let Some(at) = retry_on {
        policy.retry_on = at.value.0.iter().map(|condition| condition.value.0).collect::<RetryOn>();
    }
    let declared = layers.pick("retry.idempotent", |layer| layer.retry?.value.idempotent.as_ref());
    policy.idempotent = declared.is_some_and(|at| at.value);
    let codes = layers.pick("retry.retriableStatusCodes", |layer| layer.retry?.value.status_codes.as_ref());
    if let Some(at) = codes {
        policy.retriable_status_codes =
            at.value.0.iter().filter_map(|code| u16::try_from(code.value.0).ok()).collect();
    }
    if !layers.are_sound(|layer| Some(layer.retry?.value.broken)) {
        return;
    }
    let asked = policy.retry_on.contains(RetryCondition::RetriableStatusCodes);
    match (retry_on, codes) {
        (Some(at), None) if asked => layers.problem(at.place, Problem::NoStatusCodes),
        (_, Some(at)) if !asked => layers.problem(at.place, Problem::UnusedStatusCodes),
        _ => {}
    }
    if let (Some(at), None) = (retry_on, declared)
        && policy.attempts > 0
        && !policy.retry_on.and(RetryOn::GRPC).is_empty()
    {
        layers.problem(at.place, Problem::GrpcNotIdempotent);
    }
}

fn backoff(layers: &mut Layers<'_, '_>, policy: &mut RetryPolicy) {
    let base =
        layers.pick("retry.backoff.base", |layer| layer.retry?.value.backoff.as_ref()?.value.base.as_ref());
    let max =
        layers.pick("retry.backoff.max", |layer| layer.retry?.value.backoff.as_ref()?.value.max.as_ref());
    policy.backoff.base = base.map_or(policy.backoff.base, |at| at.value.0);
    policy.backoff.max = max.map_or(policy.backoff.max, |at| at.value.0);
    let (base_value, max_value) = (policy.backoff.base, policy.backoff.max);
    if let Some(place) = base.map(|at| at.place).or(max.map(|at| at.place)).filter(|_| base_value > max_value)
    {
        layers.problem(place, Problem::BackoffOverMax { base: base_value, max: max_value });
    }
}

fn budget(layers: &mut Layers<'_, '_>, policy: &mut RetryPolicy) {
    let ratio = layers.pick("retry.budget.retryRatio", |layer| {
        layer.retry?.value.budget.as_ref()?.value.retry_ratio.as_ref()
    });
    let floor = layers.pick("retry.budget.minRetriesPerSecond", |layer| {
        layer.retry?.value.budget.as_ref()?.value.min_retries_per_second.as_ref()
    });
    let ttl = layers.pick("retry.budget.ttl", |layer| layer.retry?.value.budget.as_ref()?.value.ttl.as_ref());
    let budget = &mut policy.budget;
    budget.retry_ratio = ratio.map_or(budget.retry_ratio, |at| at.value.0);
    budget.min_retries_per_second = floor.map_or(budget.min_retries_per_second, |at| at.value.0);
    budget.ttl = ttl.map_or(budget.ttl, |at| at.value.0);
}
