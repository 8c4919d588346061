// SPDX-License-Identifier: Apache-2.0
//! What policies decided: circuit breakers, refusals and retries.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{Caller, Destination};
use crate::telemetry::labels::{
    BreakerCause, BreakerState, Enforcement, GivenUpReason, RejectReason, RetryOutcome,
};

/// A circuit breaker exists now, so that its state is visible before its first change.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerCreated {
    /// What it guards.
    pub destination: Destination,
    /// The route whose own it is; `None` for that of an upstream, which its routes share.
    pub route: Option<Arc<str>>,
    /// Whether it refuses anything, or only would.
    pub enforcement: Enforcement,
    /// Its first state.
    pub state: BreakerState,
}

/// A circuit breaker has changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerTransition<'a> {
    /// What it guards; the endpoint is that of the call which caused the change.
    pub destination: Destination,
    /// The route whose own it is; `None` for that of an upstream, which its routes share.
    pub route: Option<Arc<str>>,
    /// Whether it refuses anything, or only would.
    pub enforcement: Enforcement,
    /// The route whose call caused it.
    pub by: Arc<str>,
    /// Host or SNI of that call: the row of the summary.
    pub host: Option<Cow<'a, str>>,
    /// The program that made it.
    pub caller: Caller,
    /// The state that it left.
    pub from: BreakerState,
    /// The state that it is in.
    pub to: BreakerState,
    /// Why.
    pub cause: BreakerCause,
    /// The same with its numbers, in words.
    pub why: String,
    /// How long it lets nothing pass before it probes, where it has opened.
    pub open_for: Option<Duration>,
}

/// Ambassador itself refused a request or flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Name of the matched route.
    pub route: Arc<str>,
    /// Why.
    pub reason: RejectReason,
    /// Whether it really was, or would have been.
    pub enforcement: Enforcement,
}

/// A retry was made, or was due and not made.
#[derive(Clone, Debug, PartialEq)]
pub struct Retried {
    /// Name of the matched route.
    pub route: Arc<str>,
    /// How it ended.
    pub outcome: RetryOutcome,
}

/// A request of a route with retries has lost the possibility of a retry.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryGivenUp {
    /// Name of the matched route.
    pub route: Arc<str>,
    /// Why.
    pub reason: GivenUpReason,
}
