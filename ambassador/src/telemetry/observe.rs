// SPDX-License-Identifier: Apache-2.0
//! Turns each event into its metrics. The only place that knows which event moves which series.

use std::time::Duration;

use crate::telemetry::event::{
    AttemptFinished, BreakerCreated, BreakerTransition, ConnectFinished, Destination, Event, Rejected,
    RequestFinished,
};
use crate::telemetry::handles::{CallKey, CounterKey, Handles, LabelId, OTHER, with_handles};
use crate::telemetry::interned::Label;
use crate::telemetry::labels::{
    BreakerState, Direction, Enforcement, ErrorType, Method, Protocol, RetryOutcome, ShadowDecision, Timeout,
    grpc_label, status_label,
};
use crate::telemetry::registry::Metrics;

impl Metrics {
    /// Counts one fact.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RequestFinished(request) => self.request(request),
            Event::AttemptFinished(attempt) => self.attempt(attempt),
            Event::FlowFinished(flow) => {
                self.timed_out(&flow.route, flow.error);
                self.bytes(flow.protocol, flow.bytes_sent, flow.bytes_received);
            }
            Event::ConnectFinished(dial) => self.dial(dial),
            Event::BreakerCreated(breaker) => {
                let BreakerCreated { destination, route, enforcement, state } = breaker;
                let upstream = self.upstream(destination);
                self.breaker_state(&upstream, route.as_deref().unwrap_or_default(), *enforcement, *state);
            }
            Event::BreakerTransition(transition) => self.transition(transition),
            Event::Rejected(rejected) => self.rejected(rejected),
            Event::ConnectHeld(hold) => self.hold_duration(hold.outcome).observe(hold.held.as_secs_f64()),
            Event::ConnectLied(_) => self.connect_lies.inc(),
            Event::SelfTested(test) => self.self_tests(test.result).inc(),
            Event::Retried(retried) => self.retried(&retried.route, retried.outcome),
            Event::RetryGivenUp(given_up) => self.retry_given_up(given_up.reason).inc(),
            Event::HostMismatch(mismatch) => {
                self.host_mismatch.with_label_values(&[&*self.route(&mismatch.route).text]).inc();
            }
            Event::MissingDestination(_) => self.missing_destination.inc(),
        }
    }

    fn request(&self, request: &RequestFinished<'_>) {
        with_handles(self.id, |handles| {
            let (route, upstream) = self.labels(handles, &request.route, &request.destination);
            let key = CallKey {
                route,
                upstream,
                method: Method::of(&request.method),
                status: request.status.map(known_status),
                error: request.error,
            };
            let series = handles.requests.of(key, |key| {
                let (status, error) = (status_label(key.status), error_label(key.error));
                let (route, upstream) = (self.route(&request.route), self.upstream(&request.destination));
                let upstream = told_apart(key.upstream, &upstream);
                self.request_duration.series(&[&*route.text, upstream, key.method.as_str(), &status, error])
            });
            series.record(request.duration);
            // The frames of HTTP/2 belong to its connection, which counts them itself.
            if request.protocol == Protocol::Http1 {
                let bytes = handles.http1_bytes.get_or_insert_with(|| self.http1_bytes());
                bytes.add(Direction::Sent as usize, request.bytes_sent);
                bytes.add(Direction::Received as usize, request.bytes_received);
            }
        });
        if let Some(status) = request.grpc_status.map(|status| status.min(UNKNOWN_GRPC)) {
            let (route, upstream) = (self.route(&request.route).id, self.upstream(&request.destination).id);
            self.count(CounterKey::Grpc(route, upstream, status), || {
                let route = self.route(&request.route);
                let upstream = self.upstream(&request.destination);
                self.grpc_responses.with_label_values(&[&*route.text, &*upstream.text, &grpc_label(status)])
            });
        }
        self.timed_out(&request.route, request.error.filter(|error| *error != ErrorType::TimeoutPerTry));
        for decision in request.shadow.iter() {
            let timeout = match decision {
                ShadowDecision::TimeoutRequest => Timeout::Request,
                ShadowDecision::TimeoutPerTry => Timeout::PerTry,
                // They are facts of their own, `Rejected` and `Retried`.
                _ => continue,
            };
            self.timeout(&request.route, timeout, Enforcement::Shadow);
        }
    }

    /// Counts `error` if it is a time limit that was reached.
    fn timed_out(&self, route: &str, error: Option<ErrorType>) {
        let timeout = match error {
            Some(ErrorType::TimeoutRequest) => Timeout::Request,
            Some(ErrorType::TimeoutPerTry) => Timeout::PerTry,
            Some(ErrorType::TimeoutIdle) => Timeout::Idle,
            _ => return,
        };
        self.timeout(route, timeout, Enforcement::Enforce);
    }

    fn timeout(&self, route: &str, timeout: Timeout, enforcement: Enforcement) {
        let route = self.route(route);
        self.count(CounterKey::TimedOut(route.id, timeout, enforcement), || {
            self.timeouts.with_label_values(&[&*route.text, timeout.as_str(), enforcement.as_str()])
        });
    }

    fn attempt(&self, attempt: &AttemptFinished<'_>) {
        self.timed_out(&attempt.route, attempt.error.filter(|error| *error == ErrorType::TimeoutPerTry));
        with_handles(self.id, |handles| {
            let (route, upstream) = self.labels(handles, &attempt.route, &attempt.destination);
            let key = CallKey {
                route,
                upstream,
                method: Method::Other,
                status: attempt.status.map(known_status),
                error: attempt.error,
            };
            let series = handles.attempts.of(key, |key| {
                let (status, error) = (status_label(key.status), error_label(key.error));
                let (route, upstream) = (self.route(&attempt.route), self.upstream(&attempt.destination));
                let upstream = told_apart(key.upstream, &upstream);
                self.attempt_duration.series(&[&*route.text, upstream, &status, error])
            });
            series.record(attempt.duration);
        });
    }

    fn labels(&self, handles: &mut Handles, route: &str, destination: &Destination) -> (LabelId, LabelId) {
        handles.labels(route, destination, || (self.route_id(route), self.upstream_id(destination)))
    }

    fn dial(&self, dial: &ConnectFinished) {
        let upstream = self.upstream(&dial.destination);
        match dial.error {
            Some(error) => self.count(CounterKey::ConnectFailed(upstream.id, error), || {
                self.connect_failures.with_label_values(&[&*upstream.text, error.as_str()])
            }),
            None => self.dialled(upstream.id, &upstream.text, dial.duration),
        }
    }

    fn dialled(&self, id: LabelId, upstream: &str, duration: Duration) {
        with_handles(self.id, |handles| {
            handles
                .dials
                .entry(id)
                .or_insert_with(|| self.connect_duration.with_label_values(&[upstream]))
                .observe(duration.as_secs_f64());
        });
    }

    fn retried(&self, route: &str, outcome: RetryOutcome) {
        let route = self.route(route);
        self.count(CounterKey::Retried(route.id, outcome), || {
            self.retries.with_label_values(&[&*route.text, outcome.as_str()])
        });
    }

    fn rejected(&self, rejected: &Rejected) {
        let Rejected { route, reason, enforcement } = rejected;
        let route = self.route(route);
        self.count(CounterKey::Rejected(route.id, *reason, *enforcement), || {
            self.rejected.with_label_values(&[&*route.text, reason.as_str(), enforcement.as_str()])
        });
    }

    fn transition(&self, transition: &BreakerTransition<'_>) {
        let upstream = self.upstream(&transition.destination);
        let route = transition.route.as_deref().unwrap_or_default();
        let mode = transition.enforcement.as_str();
        let labels = [&*upstream.text, route, mode, transition.from.as_str(), transition.to.as_str()];
        self.breaker_transitions.with_label_values(&labels).inc();
        self.breaker_state(&upstream, route, transition.enforcement, transition.to);
    }

    /// Breakers that share the label `other` have no common state, so it is not shown.
    fn breaker_state(&self, upstream: &Label, route: &str, enforcement: Enforcement, now: BreakerState) {
        if upstream.id == OTHER {
            return;
        }
        for state in BreakerState::ALL {
            let labels = [&*upstream.text, route, enforcement.as_str(), state.as_str()];
            let gauge = self.breaker_state.with_label_values(&labels);
            gauge.set(i64::from(*state == now));
        }
    }

    fn bytes(&self, protocol: Protocol, sent: u64, received: u64) {
        let counters = self.tcp_bytes(protocol);
        counters[Direction::Sent as usize].inc_by(sent);
        counters[Direction::Received as usize].inc_by(received);
    }

    fn count(&self, key: CounterKey, resolve: impl FnOnce() -> prometheus::IntCounter) {
        with_handles(self.id, |handles| handles.counters.entry(key).or_insert_with(resolve).inc());
    }
}

/// The text of `label`, unless its call is counted together with others.
fn told_apart(id: LabelId, label: &Label) -> &str {
    if id == label.id { &label.text } else { "other" }
}

fn error_label(error: Option<ErrorType>) -> &'static str {
    error.map_or("", ErrorType::as_str)
}

/// Folds statuses that share the label `_OTHER`, so that a hostile upstream can not grow the handle cache.
fn known_status(status: u16) -> u16 {
    if (100..=599).contains(&status) { status } else { 0 }
}

/// Stands for every gRPC status that does not exist.
const UNKNOWN_GRPC: u16 = 17;
