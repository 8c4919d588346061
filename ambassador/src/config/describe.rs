// SPDX-License-Identifier: Apache-2.0
//! Every effective value of a route in the words of the configuration, with where it comes from.
//!
//! For people (`ambassador explain`) and nobody else: nothing may decide by these texts.

use std::time::Duration;

use serde::Serialize;

use crate::policy::breaker::{BreakerPolicy, SlidingWindow};
use crate::policy::bulkhead::BulkheadLimits;
use crate::policy::retry::{RetryCondition, RetryPolicy};
use crate::policy::route::{OnProxyDown, Route, Upstream};
use crate::policy::timeouts::Timeouts;

use super::origin::{Origin, Scope};
use super::settings::Config;
use super::units::{format_duration, format_size};

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The field's path below its route or upstream, such as `retry.attempts`.
    pub field: &'static str,
    /// The value as one would write it; `none` where there is no limit.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The settings of a route, given by its place in the table; `None` is the default route.
pub fn describe_route(config: &Config, position: Option<usize>) -> Vec<Setting> {
    let scope = position.map_or(Scope::DefaultRoute, Scope::Route);
    let found = position.and_then(|position| config.table.routes.get(position));
    let route: &Route = found.unwrap_or(&config.table.default_route);
    let mut list = List { config, scope, settings: Vec::new() };
    list.add("mode", route.mode.as_str());
    let upstream = route.upstream.as_ref().map_or("the original destination", |upstream| &upstream.name);
    list.add("upstream", upstream);
    list.add("onProxyDown", on_proxy_down(route.on_proxy_down));
    list.add("connect", route.connect.as_str());
    list.timeouts(&route.timeouts);
    list.retry(&route.retry);
    list.breaker(route.breaker.as_ref());
    list.limits(&route.limits);
    if route.upstream.is_none() && route.keep_idle.is_some() {
        list.keep_idle(route.keep_idle);
    }
    list.settings
}

/// The settings of an upstream of the configuration, by its name.
pub fn describe_upstream(config: &Config, upstream: &Upstream) -> Vec<Setting> {
    let Some(position) = config.upstreams.iter().position(|other| other.name == upstream.name) else {
        return Vec::new();
    };
    let mut list = List { config, scope: Scope::Upstream(position), settings: Vec::new() };
    let endpoints: Vec<String> =
        upstream.endpoints.iter().map(|it| format!("{}:{}", it.host, it.port)).collect();
    list.add(
        "endpoints",
        if endpoints.is_empty() { "the original destination".to_owned() } else { endpoints.join(", ") },
    );
    list.breaker(upstream.breaker.as_ref());
    list.limits(&upstream.limits);
    list.keep_idle(upstream.keep_idle);
    list.settings
}

struct List<'a> {
    config: &'a Config,
    scope: Scope,
    settings: Vec<Setting>,
}

impl List<'_> {
    fn add(&mut self, field: &'static str, value: impl Into<String>) {
        let origin = self.config.origins.of(self.scope, field);
        self.settings.push(Setting { field, value: value.into(), origin });
    }

    fn keep_idle(&mut self, keep_idle: Option<Duration>) {
        let value = keep_idle.map_or_else(|| "connections end with their flow".to_owned(), format_duration);
        self.add("connectionPool.idleTimeout", value);
    }

    fn optional(&mut self, field: &'static str, value: Option<String>) {
        self.add(field, value.unwrap_or_else(|| "none".to_owned()));
    }

    fn timeouts(&mut self, timeouts: &Timeouts) {
        self.add("timeouts.connect", format_duration(timeouts.connect));
        self.optional("timeouts.request", timeouts.request.map(format_duration));
        self.optional("timeouts.perTry", timeouts.per_try.map(format_duration));
        self.optional("timeouts.idle", timeouts.idle.map(format_duration));
    }

    fn retry(&mut self, retry: &RetryPolicy) {
        self.add("retry.attempts", retry.attempts.to_string());
        if retry.attempts == 0 {
            return;
        }
        let conditions: Vec<&str> = retry.retry_on.iter().map(RetryCondition::as_str).collect();
        self.add("retry.retryOn", conditions.join(", "));
        self.add("retry.idempotent", retry.idempotent.to_string());
        if retry.retry_on.contains(RetryCondition::RetriableStatusCodes) {
            let codes: Vec<String> = retry.retriable_status_codes.iter().map(u16::to_string).collect();
            self.add("retry.retriableStatusCodes", codes.join(", "));
        }
        self.add("retry.backoff.base", format_duration(retry.backoff.base));
        self.add("retry.backoff.max", format_duration(retry.backoff.max));
        self.add("retry.budget.retryRatio", retry.budget.retry_ratio.to_string());
        self.add("retry.budget.minRetriesPerSecond", retry.budget.min_retries_per_second.to_string());
        self.add("retry.budget.ttl", format_duration(retry.budget.ttl));
        self.add("retry.maxReplayBytes", format_size(retry.max_replay_bytes as u64));
    }

    fn breaker(&mut self, breaker: Option<&BreakerPolicy>) {
        let Some(breaker) = breaker else { return self.add("circuitBreaker", "none") };
        if let Some(failures) = breaker.consecutive_failures {
            self.add("circuitBreaker.consecutiveFailures", failures.to_string());
        }
        if let Some(window) = breaker.window {
            let size = match window {
                SlidingWindow::Count(calls) => format!("{calls} calls"),
                SlidingWindow::Time(time) => format_duration(time),
            };
            self.add("circuitBreaker.slidingWindow", size);
            self.add("circuitBreaker.minimumNumberOfCalls", breaker.minimum_number_of_calls.to_string());
            self.add("circuitBreaker.failureRateThreshold", format!("{} %", breaker.failure_rate_threshold));
            let slow = format_duration(breaker.slow_call_duration_threshold);
            self.add("circuitBreaker.slowCallDurationThreshold", slow);
            self.add(
                "circuitBreaker.slowCallRateThreshold",
                format!("{} %", breaker.slow_call_rate_threshold),
            );
        }
        let wait = format_duration(breaker.wait_duration_in_open_state);
        self.add("circuitBreaker.waitDurationInOpenState", wait);
        let probes = breaker.permitted_number_of_calls_in_half_open_state.to_string();
        self.add("circuitBreaker.permittedNumberOfCallsInHalfOpenState", probes);
    }

    fn limits(&mut self, limits: &BulkheadLimits) {
        if *limits == BulkheadLimits::default() {
            return self.add("connectionPool", "none");
        }
        let text = |limit: Option<u32>| limit.map(|limit| limit.to_string());
        self.optional("connectionPool.maxConnections", text(limits.max_connections));
        self.optional("connectionPool.maxPendingRequests", text(limits.max_pending_requests));
        self.optional("connectionPool.maxRequests", text(limits.max_requests));
        self.optional("connectionPool.maxRetries", text(limits.max_retries));
        self.optional("connectionPool.maxWait", limits.max_wait.map(format_duration));
    }
}

const fn on_proxy_down(choice: OnProxyDown) -> &'static str {
    match choice {
        OnProxyDown::Bypass => "bypass",
        OnProxyDown::Refuse => "refuse",
    }
}
