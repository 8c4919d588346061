// SPDX-License-Identifier: Apache-2.0
//! Translates what happened on the data path into the words of telemetry and of policy.

use super::{
    body::BodyErrorKind,
    error::{ProxyError, Sent},
};
use crate::{
    net::{
        dial::{DialError, DialFailure},
        orig_dst::App,
    },
    policy::{
        breaker,
        classify::{AttemptOutcome, Written},
        matcher,
        retry::GiveUp,
    },
    telemetry::{
        event::Caller,
        labels::{BreakerCause, BreakerState, ErrorType, GivenUpReason, Protocol, RetryOutcome},
    },
};

impl From<&DialError> for ErrorType {
    fn from(error: &DialError) -> Self {
        match (error.failure, error.source.raw_os_error()) {
            (DialFailure::Refused, _) => Self::ConnectRefused,
            (DialFailure::TimedOut, _) => Self::ConnectTimeout,
            (DialFailure::Unreachable | DialFailure::NoRoute, _) => Self::ConnectUnreachable,
            (DialFailure::Local, Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE)) => Self::NoPorts,
            (DialFailure::Local, Some(libc::EMFILE | libc::ENFILE)) => Self::NoDescriptors,
            (DialFailure::Local, _) => Self::ConnectFailed,
        }
    }
}

impl From<&ProxyError> for ErrorType {
    fn from(error: &ProxyError) -> Self {
        match error {
            ProxyError::Connect(error) => error.into(),
            ProxyError::Disconnected { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::ClosedEarly
            }
            ProxyError::Disconnected { .. } | ProxyError::Http2(_) => Self::Reset,
            ProxyError::RefusedStream(_) | ProxyError::GoneAway(_) => Self::RefusedStream,
            ProxyError::MalformedReply(_) => Self::MalformedResponse,
            ProxyError::MalformedRequest(_) => Self::Malformed,
            ProxyError::PerTryTimeout { .. } => Self::TimeoutPerTry,
            ProxyError::RequestTimeout(_) => Self::TimeoutRequest,
            ProxyError::CircuitOpen { .. } => Self::CircuitOpen,
            ProxyError::Overflow { .. } => Self::Overflow,
            ProxyError::Denied => Self::Denied,
            ProxyError::ClientGone(_) => Self::ClientGone,
        }
    }
}

/// Of a reply's body.
impl From<BodyErrorKind> for ErrorType {
    fn from(cut: BodyErrorKind) -> Self {
        match cut {
            BodyErrorKind::Abandoned => Self::ClientGone,
            BodyErrorKind::Overdue => Self::TimeoutRequest,
            BodyErrorKind::Idle => Self::TimeoutIdle,
            BodyErrorKind::Truncated => Self::ClosedEarly,
            BodyErrorKind::Malformed => Self::MalformedResponse,
            BodyErrorKind::Reset | BodyErrorKind::Stream => Self::Reset,
        }
    }
}

impl From<Sent> for Written {
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Nothing => Self::Nothing,
            Sent::Partly => Self::Partly,
            Sent::Fully => Self::Fully,
        }
    }
}

/// What a failed dial means to the breaker and to retries. One that failed for want of local ports or descriptors
/// says nothing about the destination.
pub(crate) fn dial_outcome(failure: DialFailure) -> AttemptOutcome {
    match failure {
        DialFailure::Local => AttemptOutcome::Local,
        DialFailure::NoRoute => AttemptOutcome::NoRoute,
        DialFailure::Refused | DialFailure::TimedOut | DialFailure::Unreachable => {
            AttemptOutcome::ConnectFailed
        }
    }
}

/// What a failed attempt means to the breaker and to retries.
pub(crate) fn outcome_of(error: &ProxyError) -> AttemptOutcome {
    match error {
        ProxyError::Connect(error) => dial_outcome(error.failure),
        ProxyError::Disconnected { reused, sent, replied, .. } => {
            AttemptOutcome::Reset { reused: *reused, written: (*sent).into(), replied: *replied }
        }
        ProxyError::RefusedStream(_) => AttemptOutcome::RefusedStream,
        ProxyError::GoneAway(_) => AttemptOutcome::GoawayUnprocessed,
        ProxyError::Http2(_) => {
            AttemptOutcome::Reset { reused: false, written: Written::Fully, replied: false }
        }
        ProxyError::MalformedReply(_) => AttemptOutcome::InvalidReply,
        ProxyError::PerTryTimeout { sent, .. } => AttemptOutcome::PerTryTimeout { written: (*sent).into() },
        ProxyError::RequestTimeout(_) => AttemptOutcome::RequestTimeout,
        ProxyError::CircuitOpen { .. } | ProxyError::Overflow { .. } | ProxyError::Denied => {
            AttemptOutcome::Local
        }
        ProxyError::MalformedRequest(_) | ProxyError::ClientGone(_) => AttemptOutcome::ClientGone,
    }
}

impl From<matcher::Protocol> for Protocol {
    fn from(protocol: matcher::Protocol) -> Self {
        match protocol {
            matcher::Protocol::Http1 => Self::Http1,
            matcher::Protocol::Http2 => Self::Http2,
            matcher::Protocol::Tls => Self::Tls,
            matcher::Protocol::Opaque => Self::Opaque,
        }
    }
}

impl From<breaker::State> for BreakerState {
    fn from(state: breaker::State) -> Self {
        match state {
            breaker::State::Closed => Self::Closed,
            breaker::State::Open => Self::Open,
            breaker::State::HalfOpen => Self::HalfOpen,
            breaker::State::ForcedOpen => Self::ForcedOpen,
            breaker::State::Disabled => Self::Disabled,
            breaker::State::MetricsOnly => Self::MetricsOnly,
        }
    }
}

impl From<breaker::Cause> for BreakerCause {
    fn from(cause: breaker::Cause) -> Self {
        match cause {
            breaker::Cause::ConsecutiveFailures(_) => Self::ConsecutiveFailures,
            breaker::Cause::FailureRate(_) => Self::FailureRate,
            breaker::Cause::SlowCallRate(_) => Self::SlowCallRate,
            breaker::Cause::WaitElapsed => Self::WaitElapsed,
            breaker::Cause::ProbeFailed => Self::ProbeFailed,
            breaker::Cause::ProbesSucceeded => Self::ProbesSucceeded,
            breaker::Cause::Forced => Self::Operator,
        }
    }
}

/// The word for a retry that was due and not made; `None` if none was due.
pub(crate) fn retry_outcome_of(give_up: GiveUp) -> Option<RetryOutcome> {
    match give_up {
        GiveUp::NotRetriable | GiveUp::UnsafeMethod | GiveUp::BodyNotReplayable | GiveUp::BoundConnection => {
            None
        }
        GiveUp::AttemptsExhausted => Some(RetryOutcome::LimitExceeded),
        GiveUp::PushedBack => Some(RetryOutcome::PushedBack),
        GiveUp::RetryAfterBeyondDeadline => Some(RetryOutcome::RetryAfterTooLong),
        GiveUp::DeadlineTooClose => Some(RetryOutcome::DeadlineExceeded),
        GiveUp::BudgetExhausted => Some(RetryOutcome::BudgetExhausted),
        GiveUp::BreakerOpen => Some(RetryOutcome::CircuitOpen),
        GiveUp::TooManyRetries => Some(RetryOutcome::Overflow),
    }
}

/// Why a request that its route would retry is not tried again; `None` if there is nothing to retry.
pub(crate) fn given_up_reason_of(give_up: GiveUp) -> Option<GivenUpReason> {
    Some(match give_up {
        GiveUp::NotRetriable => return None,
        GiveUp::UnsafeMethod => GivenUpReason::NotIdempotent,
        GiveUp::BodyNotReplayable => GivenUpReason::BodyOverCap,
        GiveUp::BoundConnection => GivenUpReason::BoundConnection,
        GiveUp::AttemptsExhausted => GivenUpReason::LimitExceeded,
        GiveUp::PushedBack => GivenUpReason::PushedBack,
        GiveUp::RetryAfterBeyondDeadline => GivenUpReason::RetryAfterTooLong,
        GiveUp::DeadlineTooClose => GivenUpReason::DeadlineExceeded,
        GiveUp::BudgetExhausted => GivenUpReason::BudgetExhausted,
        GiveUp::BreakerOpen => GivenUpReason::CircuitOpen,
        GiveUp::TooManyRetries => GivenUpReason::Overflow,
    })
}

impl From<&App> for Caller {
    fn from(app: &App) -> Self {
        let mut comm = [0; 16];
        let text = app.comm.as_bytes();
        let length = text.len().min(comm.len());
        comm[..length].copy_from_slice(&text[..length]);
        Self { pid: app.pid, comm, cgroup_id: app.cgroup_id }
    }
}
