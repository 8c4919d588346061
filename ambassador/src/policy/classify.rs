// SPDX-License-Identifier: Apache-2.0
//! What an attempt came to, in the one vocabulary that retry, breaker and metrics share.
//!
//! Every module judges the same facts, so that a retry and the breaker cannot disagree about what happened. A refusal
//! that ambassador itself made must never look like a failure of the upstream.

use super::breaker::CallOutcome;
use super::retry::{RetryCondition, RetryOn, RetryPolicy};

/// How much of a request reached the kernel's socket of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Written {
    /// Not one byte: the upstream cannot have seen the request.
    Nothing,
    /// Some of it; over a fresh connection the upstream may already have acted on the head.
    Partly,
    /// All of it, the end of the body included.
    Fully,
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// A reply with this HTTP status, not a gRPC one.
    Status(u16),
    /// A gRPC reply with this `grpc-status`.
    Grpc(u16),
    /// An opaque flow's connection was made: the success of flows that have no replies.
    Connected,
    /// No connection: refused, unreachable, or the connect limit passed.
    ConnectFailed,
    /// No connection, because this machine has no route there.
    NoRoute,
    /// HTTP/2 `RST_STREAM` with `REFUSED_STREAM`: not processed (RFC 9113 §8.7).
    RefusedStream,
    /// HTTP/2 GOAWAY whose last stream is before this one: not processed (RFC 9113 §6.8).
    GoawayUnprocessed,
    /// The connection closed or reset before the reply's end.
    Reset {
        /// It had carried an earlier request, so it may have been stale.
        reused: bool,
        /// How much of this request had been written.
        written: Written,
        /// At least one byte of this request's reply had arrived.
        replied: bool,
    },
    /// The attempt's own limit (`perTry`) passed before the reply's head.
    PerTryTimeout {
        /// How much of the request had been written.
        written: Written,
    },
    /// The limit of the whole request passed during this attempt.
    RequestTimeout,
    /// What arrived is not a reply.
    InvalidReply,
    /// Ambassador refused the attempt itself (breaker, limit, policy): no fact about the upstream.
    Local,
    /// The program went away first: no fact about the upstream.
    ClientGone,
}

impl AttemptOutcome {
    /// What the breaker counts; `None` if the outcome says nothing about the upstream.
    ///
    /// Failures are: no connection, no or no valid reply, a 5xx, and the gRPC statuses `UNKNOWN`, `DEADLINE_EXCEEDED`,
    /// `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`. A 4xx is the program's own doing. A GOAWAY before the request was
    /// processed is how an upstream goes away in order.
    pub const fn call_outcome(self) -> Option<CallOutcome> {
        match self {
            Self::Local | Self::ClientGone | Self::GoawayUnprocessed => None,
            Self::Status(500..=599)
            | Self::Grpc(
                grpc::UNKNOWN
                | grpc::DEADLINE_EXCEEDED
                | grpc::INTERNAL
                | grpc::UNAVAILABLE
                | grpc::DATA_LOSS,
            )
            | Self::ConnectFailed
            | Self::NoRoute
            | Self::RefusedStream
            | Self::Reset { .. }
            | Self::PerTryTimeout { .. }
            | Self::RequestTimeout
            | Self::InvalidReply => Some(CallOutcome::Failure),
            Self::Status(_) | Self::Grpc(_) | Self::Connected => Some(CallOutcome::Success),
        }
    }

    /// Whether the upstream failed.
    pub const fn is_failure(self) -> bool {
        matches!(self.call_outcome(), Some(CallOutcome::Failure))
    }

    /// Whether the upstream cannot have acted on the request, so that any method may be sent again.
    ///
    /// A request that was partly written counts as unsent only over a reused connection, whose close then says that it
    /// was stale; over a fresh one the upstream may have read and acted on what it got.
    pub const fn is_provably_unsent(self) -> bool {
        matches!(
            self,
            Self::ConnectFailed
                | Self::NoRoute
                | Self::RefusedStream
                | Self::GoawayUnprocessed
                | Self::Reset { replied: false, written: Written::Nothing, .. }
                | Self::Reset { replied: false, written: Written::Partly, reused: true }
                | Self::PerTryTimeout { written: Written::Nothing }
        )
    }

    /// Whether the connection, not the upstream, had ended: a reused one that closed without a byte of reply, or one
    /// whose GOAWAY crossed the request.
    pub const fn is_stale_connection(self) -> bool {
        matches!(self, Self::GoawayUnprocessed | Self::Reset { reused: true, replied: false, .. })
    }

    /// Every condition of `retryOn` that holds.
    pub fn conditions(self, retriable_status_codes: &[u16]) -> RetryOn {
        use RetryCondition as On;
        match self {
            Self::Status(status) => RetryOn::EMPTY
                .with_if(matches!(status, 502..=504), On::GatewayError)
                .with_if(matches!(status, 500..=599), On::ServerError)
                .with_if(status == 409, On::Retriable4xx)
                .with_if(retriable_status_codes.contains(&status), On::RetriableStatusCodes),
            Self::Grpc(status) => RetryOn::EMPTY
                .with_if(status == grpc::CANCELLED, On::Cancelled)
                .with_if(status == grpc::DEADLINE_EXCEEDED, On::DeadlineExceeded)
                .with_if(status == grpc::RESOURCE_EXHAUSTED, On::ResourceExhausted)
                .with_if(status == grpc::INTERNAL, On::Internal)
                .with_if(status == grpc::UNAVAILABLE, On::Unavailable),
            Self::ConnectFailed | Self::NoRoute => {
                RetryOn::EMPTY.with(On::ConnectFailure).with(On::ServerError)
            }
            Self::RefusedStream | Self::GoawayUnprocessed => {
                RetryOn::EMPTY.with(On::RefusedStream).with(On::ServerError)
            }
            Self::Reset { replied: false, .. } => RetryOn::EMPTY.with(On::Reset).with(On::ServerError),
            Self::PerTryTimeout { .. } => {
                RetryOn::EMPTY.with(On::Reset).with(On::GatewayError).with(On::ServerError)
            }
            Self::Connected
            | Self::Reset { replied: true, .. }
            | Self::RequestTimeout
            | Self::InvalidReply
            | Self::Local
            | Self::ClientGone => RetryOn::EMPTY,
        }
    }

    /// The condition by which `policy` wants this outcome retried, if there is one; safety is not judged here.
    pub fn retry_condition(self, policy: &RetryPolicy) -> Option<RetryCondition> {
        self.conditions(&policy.retriable_status_codes).and(policy.retry_on).iter().next()
    }
}

/// gRPC status codes (`google.rpc.Code`).
pub mod grpc {
    /// The call was cancelled.
    pub const CANCELLED: u16 = 1;
    /// No better code is known.
    pub const UNKNOWN: u16 = 2;
    /// The call's time ran out.
    pub const DEADLINE_EXCEEDED: u16 = 4;
    /// The caller may not.
    pub const PERMISSION_DENIED: u16 = 7;
    /// A quota is used up.
    pub const RESOURCE_EXHAUSTED: u16 = 8;
    /// An invariant of the server broke.
    pub const INTERNAL: u16 = 13;
    /// The service is not there now.
    pub const UNAVAILABLE: u16 = 14;
    /// Data was lost for good.
    pub const DATA_LOSS: u16 = 15;
}

#[cfg(test)]
mod tests {
    use super::AttemptOutcome as Outcome;
    use super::*;

    const fn reset(reused: bool, written: Written, replied: bool) -> Outcome {
        Outcome::Reset { reused, written, replied }
    }

    #[test]
    fn what_the_breaker_counts() {
        let check = |outcome: Outcome, want| assert_eq!(outcome.call_outcome(), want, "{outcome:?}");
        for failure in [
            Outcome::Status(500),
            Outcome::Status(503),
            Outcome::Grpc(14),
            Outcome::ConnectFailed,
            Outcome::NoRoute,
            Outcome::RefusedStream,
            reset(true, Written::Fully, false),
            Outcome::PerTryTimeout { written: Written::Fully },
            Outcome::RequestTimeout,
            Outcome::InvalidReply,
        ] {
            check(failure, Some(CallOutcome::Failure));
        }
        for success in
            [200, 302, 404, 409, 429].map(Outcome::Status).into_iter().chain([0, 5, 7, 8].map(Outcome::Grpc))
        {
            check(success, Some(CallOutcome::Success));
        }
        check(Outcome::Connected, Some(CallOutcome::Success));
        for neutral in [Outcome::Local, Outcome::ClientGone, Outcome::GoawayUnprocessed] {
            check(neutral, None);
        }
    }

    #[test]
    fn only_what_cannot_have_been_acted_on_is_unsent() {
        let check = |outcome: Outcome, want| assert_eq!(outcome.is_provably_unsent(), want, "{outcome:?}");
        check(Outcome::ConnectFailed, true);
        check(Outcome::NoRoute, true);
        check(Outcome::RefusedStream, true);
        check(Outcome::GoawayUnprocessed, true);
        check(reset(false, Written::Nothing, false), true);
        check(reset(true, Written::Partly, false), true);
        check(reset(true, Written::Fully, false), false);
        check(reset(false, Written::Partly, false), false);
        check(reset(true, Written::Nothing, true), false);
        check(Outcome::PerTryTimeout { written: Written::Nothing }, true);
        check(Outcome::PerTryTimeout { written: Written::Partly }, false);
        check(Outcome::Status(503), false);
    }

    #[test]
    fn the_most_specific_condition_is_the_reason() {
        let all = RetryPolicy {
            retry_on: RetryCondition::ALL.into_iter().collect(),
            retriable_status_codes: vec![429],
            ..RetryPolicy::default()
        };
        let check = |outcome: Outcome, want| assert_eq!(outcome.retry_condition(&all), want, "{outcome:?}");
        check(Outcome::Status(503), Some(RetryCondition::GatewayError));
        check(Outcome::Status(500), Some(RetryCondition::ServerError));
        check(Outcome::Status(409), Some(RetryCondition::Retriable4xx));
        check(Outcome::Status(429), Some(RetryCondition::RetriableStatusCodes));
        check(Outcome::Status(404), None);
        check(Outcome::Status(200), None);
        check(Outcome::Grpc(14), Some(RetryCondition::Unavailable));
        check(Outcome::Grpc(0), None);
        check(Outcome::ConnectFailed, Some(RetryCondition::ConnectFailure));
        check(Outcome::GoawayUnprocessed, Some(RetryCondition::RefusedStream));
        check(reset(false, Written::Fully, false), Some(RetryCondition::Reset));
        check(reset(false, Written::Fully, true), None);
        check(Outcome::RequestTimeout, None);
        check(Outcome::Local, None);
    }

    #[test]
    fn every_condition_is_read_back_from_its_word() {
        for condition in RetryCondition::ALL {
            assert_eq!(condition.as_str().parse(), Ok(condition));
        }
        assert!("gateway_error".parse::<RetryCondition>().is_err());
    }
}
