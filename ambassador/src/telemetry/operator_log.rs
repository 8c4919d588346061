// SPDX-License-Identifier: Apache-2.0
//! Facts as ambassador's own messages: degradations as warnings, lifecycle as info, what happens per connection as debug.
//!
//! It exists because not every fact has a line of the access log. What circuit breakers do has a target of its own, so
//! that its end can be shown where its beginning is. Text of traffic is escaped here as it is in lines.

use crate::telemetry::access_log;
use crate::telemetry::event::{BreakerTransition, Event};
use crate::telemetry::labels::{BreakerState, Enforcement, ErrorType, GivenUpReason};

/// The target of what circuit breakers do, which is shown by default from info on.
pub(crate) const BREAKER: &str = "ambassador::breaker";

/// Writes what an operator's log has of a fact.
pub(crate) fn tell(event: &Event<'_>) {
    match event {
        Event::BreakerTransition(transition) => breaker(transition),
        Event::RetryGivenUp(given_up) if given_up.reason == GivenUpReason::BodyOverCap => {
            tracing::info!(
                route = &*given_up.route,
                "retry given up: the body is larger than what is kept for a replay"
            );
        }
        Event::RetryGivenUp(given_up) => {
            tracing::debug!(route = &*given_up.route, reason = given_up.reason.as_str(), "retry given up");
        }
        Event::MissingDestination(missing) => {
            tracing::warn!(client = %missing.client, "connection without original destination was reset");
        }
        Event::HostMismatch(mismatch) => {
            let host = access_log::escape(&mismatch.host);
            tracing::debug!(route = &*mismatch.route, %host, endpoint = %mismatch.endpoint, "host does not match");
        }
        Event::ConnectFinished(dial) => {
            let error = dial.error.map(ErrorType::as_str);
            tracing::debug!(endpoint = %dial.destination.endpoint, duration = ?dial.duration, error, "dialled");
        }
        Event::Rejected(rejected) => {
            tracing::debug!(route = &*rejected.route, reason = rejected.reason.as_str(), "rejected");
        }
        Event::Retried(retried) => {
            tracing::debug!(route = &*retried.route, outcome = retried.outcome.as_str(), "retry");
        }
        Event::ConnectHeld(hold) => {
            let (endpoint, outcome) = (hold.destination.endpoint, hold.outcome.as_str());
            tracing::debug!(%endpoint, outcome, held = ?hold.held, "connect was held");
        }
        Event::ConnectLied(lied) => {
            tracing::debug!(endpoint = %lied.destination.endpoint, "connect had succeeded in vain");
        }
        // Who tests says it, and only when the result is another one.
        Event::SelfTested(_)
        | Event::RequestFinished(_)
        | Event::AttemptFinished(_)
        | Event::FlowFinished(_)
        | Event::BreakerCreated(_) => {}
    }
}

/// An opening is a degradation, whatever comes after it the way out.
fn breaker(transition: &BreakerTransition<'_>) {
    let BreakerTransition { destination, host, caller, from, to, why, open_for, .. } = transition;
    let (program, pid) = (access_log::escape(&caller.comm()).to_string(), caller.pid);
    let (upstream, endpoint) = (destination.upstream.as_deref(), destination.endpoint);
    let host = host.as_deref().map(|host| access_log::escape(host).to_string());
    let open_for = open_for.map(tracing::field::debug);
    let (route, from, to_word) = (&*transition.by, from.as_str(), to.as_str());
    let message = match (transition.enforcement, to) {
        (Enforcement::Enforce, BreakerState::Open) => "circuit breaker opened",
        (Enforcement::Enforce, BreakerState::HalfOpen) => "circuit breaker is half-open: it probes",
        (Enforcement::Enforce, BreakerState::Closed) => "circuit breaker closed",
        (Enforcement::Enforce, _) => "circuit breaker changed",
        (Enforcement::Shadow, BreakerState::Open) => {
            "circuit breaker would be open (mode shadow: it refuses nothing)"
        }
        (Enforcement::Shadow, _) => "circuit breaker changed (mode shadow)",
    };
    if *to == BreakerState::Open {
        tracing::warn!(target: BREAKER, route, upstream, host, %endpoint, program, pid, from, to = to_word, why, open_for, "{message}");
    } else {
        tracing::info!(target: BREAKER, route, upstream, host, %endpoint, program, pid, from, to = to_word, why, open_for, "{message}");
    }
}
