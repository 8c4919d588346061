// SPDX-License-Identifier: Apache-2.0
//! `circuitBreaker`, in its short and its full form.

use std::time::Duration;

use crate::config::node::At;
use crate::config::problem::Problem;
use crate::config::raw::{RawBreaker, RawWindow};
use crate::config::scalar::WindowSize;
use crate::config::words::WindowType;
use crate::policy::breaker::{BreakerPolicy, SlidingWindow};

use super::layers::Layers;

const MOST_CALLS: u32 = 100_000;
const SHORTEST_TIME: Duration = Duration::from_secs(1);
const LONGEST_TIME: Duration = Duration::from_hours(1);
const DEFAULT_CALLS: u32 = 100;

/// The breaker that `raw` describes.
pub(super) fn breaker(layers: &mut Layers<'_, '_>, raw: &At<RawBreaker>) -> BreakerPolicy {
    let written = &raw.value;
    let rates = written.window.is_some()
        || written.minimum_calls.is_some()
        || written.failure_rate.is_some()
        || written.slow_duration.is_some()
        || written.slow_rate.is_some();
    if !rates && written.consecutive_failures.is_none() && !written.broken {
        layers.problem(raw.place, Problem::BreakerWithoutThreshold);
    }
    if let (Some(at), None, false) = (&written.slow_rate, &written.slow_duration, written.broken) {
        layers.problem(at.place, Problem::SlowRateWithoutDuration);
    }
    let mut policy = if rates {
        BreakerPolicy::sliding(window(layers, written.window.as_ref()))
    } else {
        BreakerPolicy::consecutive(0)
    };
    policy.consecutive_failures =
        layers.note("circuitBreaker.consecutiveFailures", written.consecutive_failures.as_ref()).map(|n| n.0);
    minimum(layers, written, &mut policy);
    if let Some(percent) = layers.note("circuitBreaker.failureRateThreshold", written.failure_rate.as_ref()) {
        policy.failure_rate_threshold = percent.0;
    }
    if let Some(limit) =
        layers.note("circuitBreaker.slowCallDurationThreshold", written.slow_duration.as_ref())
    {
        policy.slow_call_duration_threshold = limit.0;
    }
    if let Some(percent) = layers.note("circuitBreaker.slowCallRateThreshold", written.slow_rate.as_ref()) {
        policy.slow_call_rate_threshold = percent.0;
    }
    if let Some(wait) = layers.note("circuitBreaker.waitDurationInOpenState", written.wait_open.as_ref()) {
        policy.wait_duration_in_open_state = wait.0;
    }
    if let Some(probes) =
        layers.note("circuitBreaker.permittedNumberOfCallsInHalfOpenState", written.probes.as_ref())
    {
        policy.permitted_number_of_calls_in_half_open_state = probes.0;
    }
    policy
}

fn minimum(layers: &mut Layers<'_, '_>, written: &RawBreaker, policy: &mut BreakerPolicy) {
    let size = match policy.window {
        Some(SlidingWindow::Count(size)) => size,
        _ => u32::MAX,
    };
    policy.minimum_number_of_calls = policy.minimum_number_of_calls.min(size);
    let Some(at) = &written.minimum_calls else { return };
    layers.note("circuitBreaker.minimumNumberOfCalls", Some(at));
    policy.minimum_number_of_calls = at.value.0;
    if at.value.0 > size && !written.broken {
        layers.problem(at.place, Problem::MinimumOverWindow { minimum: at.value.0, size });
    }
}

fn window(layers: &mut Layers<'_, '_>, written: Option<&At<RawWindow>>) -> SlidingWindow {
    let default = SlidingWindow::Count(DEFAULT_CALLS);
    let Some(size) = written.and_then(|at| at.value.size.as_ref()) else { return default };
    layers.note("circuitBreaker.slidingWindow", Some(size));
    let kind = written.and_then(|at| at.value.kind.as_ref()).map(|at| at.value.0);
    let problem = match (kind, size.value) {
        (Some(WindowType::Count), WindowSize::Time(_)) => {
            Problem::WindowSize { kind: "count", wanted: "a number of calls, such as 50" }
        }
        (Some(WindowType::Time), WindowSize::Calls(_)) => {
            Problem::WindowSize { kind: "time", wanted: "a duration, such as 60s" }
        }
        (_, WindowSize::Calls(calls)) if calls > MOST_CALLS => {
            Problem::WindowSize { kind: "count", wanted: "1 to 100000 calls" }
        }
        (_, WindowSize::Time(time)) if !(SHORTEST_TIME..=LONGEST_TIME).contains(&time) => {
            Problem::WindowSize { kind: "time", wanted: "1s to 1h" }
        }
        (_, WindowSize::Calls(calls)) => return SlidingWindow::Count(calls),
        (_, WindowSize::Time(time)) => return SlidingWindow::Time(time),
    };
    layers.problem(size.place, problem);
    default
}
