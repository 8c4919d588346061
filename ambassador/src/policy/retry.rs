// SPDX-License-Identifier: Apache-2.0
//! Which failures of a route are tried again, and how often (`retry`).
//!
//! The conditions say what an operator *wants* retried; what may *safely* be retried is the decision's business, and no
//! condition overrides it. Only one declaration does: that every request of the route may be sent twice.

mod decide;
#[cfg(test)]
mod tests;

pub use decide::{
    Attempt, GiveUp, NextAttempt, RequestFacts, RetryDecision, RetryReason, Shared, decide, is_due,
    is_idempotent,
};

use super::backoff::Backoff;
use super::budget::BudgetPolicy;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The retry rules of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first (`attempts`; Envoy `num_retries`); 0 retries nothing but a stale connection.
    pub attempts: u32,
    /// The conditions that are retried (`retryOn`).
    pub retry_on: RetryOn,
    /// The operator declares that every request of the route may be sent twice, whatever its method (`idempotent`;
    /// Linkerd `isRetryable`). Without it a gRPC call, which is a POST, is repeated by no status.
    pub idempotent: bool,
    /// The statuses of the condition `retriable-status-codes` (`retriableStatusCodes`).
    pub retriable_status_codes: Vec<u16>,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// What all retries to the upstream share.
    pub budget: BudgetPolicy,
    /// Bytes of request body kept for replay (`maxReplayBytes`); a longer body streams and is not retried.
    pub max_replay_bytes: usize,
    /// What a reply's `Retry-After` does.
    pub retry_after: RetryAfterPolicy,
}

impl Default for RetryPolicy {
    /// No attempts after the first; the other fields are what `attempts` alone would turn on.
    fn default() -> Self {
        Self {
            attempts: 0,
            retry_on: RetryOn::default(),
            idempotent: false,
            retriable_status_codes: Vec::new(),
            backoff: Backoff::default(),
            budget: BudgetPolicy::default(),
            max_replay_bytes: 64 * 1024,
            retry_after: RetryAfterPolicy::default(),
        }
    }
}

/// What a reply's `Retry-After` (RFC 9110 §10.2.3) does to the wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfterPolicy {
    /// Wait at least as long if it fits the deadline and `max`; otherwise hand the reply on at once.
    Honour {
        /// The longest wait that is obeyed, which matters to requests without a deadline.
        max: Duration,
    },
    /// Back off as if the header were absent.
    Ignore,
}

impl Default for RetryAfterPolicy {
    /// Obeyed up to 30 s.
    fn default() -> Self {
        Self::Honour { max: Duration::from_secs(30) }
    }
}

/// One condition of `retryOn`; the words are Envoy's `retry_on` and `x-envoy-retry-grpc-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetryCondition {
    /// `connect-failure`: no connection was made.
    ConnectFailure,
    /// `refused-stream`: HTTP/2 said that it did not process the request.
    RefusedStream,
    /// `reset`: no reply came: closed, reset, or out of the attempt's time.
    Reset,
    /// `gateway-error`: 502, 503, 504, or the attempt's time ran out.
    GatewayError,
    /// `5xx`: any 5xx, and no reply at all.
    ServerError,
    /// `retriable-status-codes`: one of the route's `retriableStatusCodes`.
    RetriableStatusCodes,
    /// `retriable-4xx`: 409.
    Retriable4xx,
    /// `cancelled`: gRPC status 1.
    Cancelled,
    /// `deadline-exceeded`: gRPC status 4.
    DeadlineExceeded,
    /// `internal`: gRPC status 13.
    Internal,
    /// `resource-exhausted`: gRPC status 8.
    ResourceExhausted,
    /// `unavailable`: gRPC status 14.
    Unavailable,
}

impl RetryCondition {
    /// Every condition, in the order in which one is named as the reason when several hold.
    pub const ALL: [Self; 12] = [
        Self::ConnectFailure,
        Self::RefusedStream,
        Self::Reset,
        Self::GatewayError,
        Self::RetriableStatusCodes,
        Self::Retriable4xx,
        Self::ServerError,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::Internal,
        Self::ResourceExhausted,
        Self::Unavailable,
    ];

    /// The word of the configuration and of labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailure => "connect-failure",
            Self::RefusedStream => "refused-stream",
            Self::Reset => "reset",
            Self::GatewayError => "gateway-error",
            Self::ServerError => "5xx",
            Self::RetriableStatusCodes => "retriable-status-codes",
            Self::Retriable4xx => "retriable-4xx",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::Internal => "internal",
            Self::ResourceExhausted => "resource-exhausted",
            Self::Unavailable => "unavailable",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for RetryCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RetryCondition {
    type Err = UnknownCondition;

    fn from_str(word: &str) -> Result<Self, UnknownCondition> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == word).ok_or(UnknownCondition)
    }
}

/// A word of `retryOn` that names no condition; [`RetryCondition::ALL`] lists those that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a retry condition")]
pub struct UnknownCondition;

/// A set of conditions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryOn(u16);

impl RetryOn {
    /// The set without conditions.
    pub const EMPTY: Self = Self(0);

    /// This set and `condition`.
    #[must_use]
    pub const fn with(self, condition: RetryCondition) -> Self {
        Self(self.0 | condition.bit())
    }

    /// This set, and `condition` if `holds`.
    #[must_use]
    pub(super) const fn with_if(self, holds: bool, condition: RetryCondition) -> Self {
        if holds { self.with(condition) } else { self }
    }

    /// The conditions that only gRPC statuses fulfil.
    pub const GRPC: Self = Self::EMPTY
        .with(RetryCondition::Cancelled)
        .with(RetryCondition::DeadlineExceeded)
        .with(RetryCondition::Internal)
        .with(RetryCondition::ResourceExhausted)
        .with(RetryCondition::Unavailable);

    /// Whether `condition` is in the set.
    pub const fn contains(self, condition: RetryCondition) -> bool {
        self.0 & condition.bit() != 0
    }

    /// Whether the set has no condition.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The conditions of the set, in the order of [`RetryCondition::ALL`].
    pub fn iter(self) -> impl Iterator<Item = RetryCondition> {
        RetryCondition::ALL.into_iter().filter(move |condition| self.contains(*condition))
    }
}

impl Default for RetryOn {
    /// `connect-failure`, `refused-stream`, `reset`, `gateway-error`, `unavailable`.
    fn default() -> Self {
        Self::EMPTY
            .with(RetryCondition::ConnectFailure)
            .with(RetryCondition::RefusedStream)
            .with(RetryCondition::Reset)
            .with(RetryCondition::GatewayError)
            .with(RetryCondition::Unavailable)
    }
}

impl FromIterator<RetryCondition> for RetryOn {
    fn from_iter<I: IntoIterator<Item = RetryCondition>>(conditions: I) -> Self {
        conditions.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(RetryCondition::as_str)).finish()
    }
}
