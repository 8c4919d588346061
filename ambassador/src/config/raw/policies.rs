// SPDX-License-Identifier: Apache-2.0
//! The policies that routes, upstreams and defaults have in common, as they are written.

use crate::{
    config::{
        scalar::{Attempts, Count, Limit, Percent, Positive, Ratio, Size, Span, StatusCode, WindowSize},
        shape::{Filled, shape},
        words::{WindowType, Word},
    },
    policy::retry::RetryCondition,
};

shape! {
    /// Time limits. `0s` is no limit.
    pub(crate) struct RawTimeouts as "timeouts" {
        /// Of one TCP connect. Default: 1s; 10s where no policy is configured.
        "connect" => connect: Span;
        /// Of the whole request, with every try and wait. Default: none.
        "request" => request: Limit;
        /// Of one try. Default: none.
        "perTry" => per_try: Limit;
        /// Of silence in both directions. Default: none.
        "idle" => idle: Limit;
    }
}

shape! {
    /// Which failures are tried again. What is not safe to repeat is not repeated, unless `idempotent` declares it
    /// safe.
    pub(crate) struct RawRetry as "retry" {
        /// Tries after the first; 0 switches retries off.
        "attempts" => attempts: Attempts;
        /// Which failures. Default: connect-failure, refused-stream, reset, gateway-error, unavailable. A gRPC class
        /// repeats calls only where they are `idempotent` or carry an `Idempotency-Key`.
        "retryOn" => retry_on: Filled<Word<RetryCondition>>;
        /// Declares that every request of the route may be sent twice, whatever its method: POST and gRPC calls are
        /// then retried as GET is. Of a route only. Default: false.
        "idempotent" => idempotent: bool;
        /// The statuses of the condition retriable-status-codes.
        "retriableStatusCodes" => status_codes: Filled<StatusCode>;
        /// The wait between tries.
        "backoff" => backoff: RawBackoff;
        /// How many retries the destination bears in all.
        "budget" => budget: RawBudget;
        /// The largest request body that is kept for another try; larger ones stream and are not retried. Default:
        /// 64KiB.
        "maxReplayBytes" => max_replay_bytes: Size;
    }
}

shape! {
    /// Exponential backoff with full jitter.
    pub(crate) struct RawBackoff as "retry.backoff" {
        /// The longest wait before the first retry; doubles with each. Default: 25ms.
        "base" => base: Span;
        /// The longest wait of all. Default: 1s.
        "max" => max: Span;
    }
}

shape! {
    /// A bound on all retries to a destination.
    pub(crate) struct RawBudget as "retry.budget" {
        /// Retries per request; 0.2 is 20 %. Default: 0.2.
        "retryRatio" => retry_ratio: Ratio;
        /// Retries per second that are always allowed. Default: 10.
        "minRetriesPerSecond" => min_retries_per_second: Count;
        /// How long a request counts. Default: 10s.
        "ttl" => ttl: Span;
    }
}

shape! {
    /// A circuit breaker. `consecutiveFailures` alone is the short form; the other thresholds judge the calls of a
    /// sliding window. With both, whichever is reached first opens it.
    pub(crate) struct RawBreaker as "circuitBreaker" {
        /// Failures in a row that open it.
        "consecutiveFailures" => consecutive_failures: Positive;
        /// What the rates are computed over. Default: the last 100 calls.
        "slidingWindow" => window: RawWindow;
        /// Rates are not judged on fewer calls. Default: 100, or the size of a smaller window.
        "minimumNumberOfCalls" => minimum_calls: Positive;
        /// Percent of failed calls that opens it. Default: 50.
        "failureRateThreshold" => failure_rate: Percent;
        /// A call that takes longer is slow. Default: 1m.
        "slowCallDurationThreshold" => slow_duration: Span;
        /// Percent of slow calls that opens it. Default: 100.
        "slowCallRateThreshold" => slow_rate: Percent;
        /// How long it stays open before it probes. Default: 30s in the short form, else 1m.
        "waitDurationInOpenState" => wait_open: Span;
        /// How many probes it lets through. Default: 1 in the short form, else 10.
        "permittedNumberOfCallsInHalfOpenState" => probes: Positive;
    }
}

shape! {
    /// What the rates of a circuit breaker are computed over.
    pub(crate) struct RawWindow as "slidingWindow" {
        /// count: the last calls; time: the calls of the last while. Default: what `size` is.
        "type" => kind: Word<WindowType>;
        /// A number of calls (1 to 100000), or a duration (1s to 1h).
        "size" => size: WindowSize, required;
    }
}

shape! {
    /// Limits of what is under way at once, and idle connections. Default: no limit, and none is kept.
    pub(crate) struct RawLimits as "connectionPool" {
        /// Open connections.
        "maxConnections" => max_connections: Positive;
        /// Requests that wait for a place.
        "maxPendingRequests" => max_pending: Count;
        /// Requests under way.
        "maxRequests" => max_requests: Positive;
        /// Retries under way.
        "maxRetries" => max_retries: Count;
        /// How long a request, or a flow of bytes, may wait for a place. Default: it is refused at once; 30s if
        /// `maxPendingRequests` is set.
        "maxWait" => max_wait: Limit;
        /// How long an idle connection is kept for other connections of the program. Default: 1m30s.
        "idleTimeout" => idle_timeout: Span;
    }
}
