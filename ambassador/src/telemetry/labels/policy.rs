// SPDX-License-Identifier: Apache-2.0
//! What policies decided, in the closed sets of labels and log fields.

label_set! {
    /// The `outcome` of a retry that was made, or why one that was due was not.
    RetryOutcome {
        /// The further attempt succeeded.
        Success => "success",
        /// The further attempt failed too.
        Failure => "failure",
        /// All configured attempts are used up.
        LimitExceeded => "limit_exceeded",
        /// The retry budget of the upstream is empty.
        BudgetExhausted => "budget_exhausted",
        /// The backoff would end after the deadline.
        DeadlineExceeded => "deadline_exceeded",
        /// The upstream asked not to be tried again (`grpc-retry-pushback-ms`).
        PushedBack => "pushed_back",
        /// The upstream's Retry-After or pushback would end after the deadline.
        RetryAfterTooLong => "retry_after_too_long",
        /// The circuit breaker opened in between.
        CircuitOpen => "circuit_open",
        /// `connectionPool.maxRetries` retries are already running.
        Overflow => "overflow",
        /// Mode shadow: a retry would have been made.
        Shadow => "shadow",
    }
}

label_set! {
    /// Why ambassador itself refused something. A local rejection is never an upstream failure.
    RejectReason {
        /// The circuit breaker is open.
        CircuitOpen => "circuit_open",
        /// A limit of `connectionPool` is reached.
        Overflow => "overflow",
        /// A rate limit is reached.
        RateLimited => "rate_limited",
        /// Policy denies the destination.
        Denied => "denied",
        /// The request is malformed.
        Malformed => "malformed",
        /// Ambassador's own limit of open connections is reached.
        TooManyConnections => "too_many_connections",
        /// Ambassador is shutting down.
        Shutdown => "shutdown",
    }
}

label_set! {
    /// Whether a policy's decision acted: the label `mode`.
    Enforcement {
        /// It did.
        Enforce => "enforce",
        /// It would have, if its route were not in mode shadow.
        Shadow => "shadow",
    }
}

label_set! {
    /// What a policy in mode shadow would have done: the access log's `shadow`.
    ShadowDecision {
        /// Refuse it, because it is denied.
        Denied => "denied",
        /// Refuse it, because the circuit breaker is open.
        CircuitOpen => "circuit_open",
        /// Refuse it, or let it wait, because a limit of `connectionPool` is reached.
        Overflow => "overflow",
        /// Try it again.
        Retry => "retry",
        /// End it after `timeouts.request`.
        TimeoutRequest => "timeout_request",
        /// End an attempt after `timeouts.perTry`.
        TimeoutPerTry => "timeout_per_try",
    }
}

label_set! {
    /// The time limit that ended something: the label `timeout`.
    Timeout {
        /// `timeouts.request`.
        Request => "request",
        /// `timeouts.perTry`.
        PerTry => "per_try",
        /// `timeouts.idle`.
        Idle => "idle",
    }
}

label_set! {
    /// Why a request was not tried again although its route retries what it ended with.
    GivenUpReason {
        /// The request's body is larger than what is kept for a replay.
        BodyOverCap => "body_over_cap",
        /// The first bytes of the response already went to the program.
        ReplyStarted => "reply_started",
        /// The method is not idempotent and the request may have been processed.
        NotIdempotent => "not_idempotent",
        /// The user is known by the connection (NTLM, Negotiate), and another one would not know it.
        BoundConnection => "bound_connection",
        /// All configured attempts are used up.
        LimitExceeded => "limit_exceeded",
        /// The retry budget of the upstream is empty.
        BudgetExhausted => "budget_exhausted",
        /// The request's time would be over before the next attempt.
        DeadlineExceeded => "deadline_exceeded",
        /// The upstream's Retry-After or pushback would end after the deadline.
        RetryAfterTooLong => "retry_after_too_long",
        /// The upstream asked not to be tried again (`grpc-retry-pushback-ms`).
        PushedBack => "pushed_back",
        /// The circuit breaker opened in between.
        CircuitOpen => "circuit_open",
        /// `connectionPool.maxRetries` retries are already running.
        Overflow => "overflow",
    }
}

label_set! {
    /// States of a circuit breaker, in resilience4j's words.
    BreakerState {
        /// Everything is admitted.
        Closed => "closed",
        /// Everything is refused.
        Open => "open",
        /// A few probes are admitted.
        HalfOpen => "half_open",
        /// Opened by an operator.
        ForcedOpen => "forced_open",
        /// Switched off by an operator.
        Disabled => "disabled",
        /// Measures, never refuses.
        MetricsOnly => "metrics_only",
    }
}

label_set! {
    /// What made a circuit breaker change its state.
    BreakerCause {
        /// `consecutiveFailures` was reached.
        ConsecutiveFailures => "consecutive_failures",
        /// `failureRateThreshold` was reached.
        FailureRate => "failure_rate",
        /// `slowCallRateThreshold` was reached.
        SlowCallRate => "slow_call_rate",
        /// `waitDurationInOpenState` has passed.
        WaitElapsed => "wait_elapsed",
        /// The probes of the half-open state succeeded.
        ProbesSucceeded => "probes_succeeded",
        /// A probe of the half-open state failed.
        ProbeFailed => "probe_failed",
        /// An operator or a reload of the configuration.
        Operator => "operator",
    }
}
