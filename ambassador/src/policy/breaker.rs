// SPDX-License-Identifier: Apache-2.0
//! The circuit breaker: after enough failures an upstream is left alone for a while, then probed.
//!
//! It speaks resilience4j's words and follows its state machine, in the full form (a sliding window) and in a short one
//! (consecutive failures). It must never admit more probes than permitted, never close without a success, and never wait
//! for a probe for ever.

mod calm;
mod machine;
mod phase;
#[cfg(test)]
mod tests;

pub use machine::{Breaker, Permit};

use super::tally::Tally;
use std::fmt;
use std::time::Duration;

/// Parameters of one breaker (`circuitBreaker`). Field names are resilience4j's.
///
/// With neither `consecutive_failures` nor `window` it never opens by itself. With both, either opens it.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// The short form: so many failures without a success between them open the breaker.
    pub consecutive_failures: Option<u32>,
    /// `slidingWindowType` and `slidingWindowSize`; `None` leaves the rates uncounted.
    pub window: Option<SlidingWindow>,
    /// Rates are not judged on fewer calls. A count window clamps it to its own size, as resilience4j does.
    pub minimum_number_of_calls: u32,
    /// Percent, `0 < x <= 100`: a failure rate equal or above opens the breaker.
    pub failure_rate_threshold: f64,
    /// A call that took longer than this is slow, whatever its outcome.
    pub slow_call_duration_threshold: Duration,
    /// Percent, `0 < x <= 100`: a rate of slow calls equal or above opens the breaker.
    pub slow_call_rate_threshold: f64,
    /// How long OPEN admits nothing.
    pub wait_duration_in_open_state: Duration,
    /// How many probes `HALF_OPEN` admits before it decides; one more for each further `wait_duration_in_open_state` (at
    /// least 1 s) that passes without a decision.
    pub permitted_number_of_calls_in_half_open_state: u32,
}

impl BreakerPolicy {
    /// The short form: `failures` in a row → OPEN, 30 s → `HALF_OPEN`, one success → CLOSED.
    pub const fn consecutive(failures: u32) -> Self {
        Self {
            consecutive_failures: Some(failures),
            window: None,
            minimum_number_of_calls: 100,
            failure_rate_threshold: 50.0,
            slow_call_duration_threshold: Duration::from_mins(1),
            slow_call_rate_threshold: 100.0,
            wait_duration_in_open_state: Duration::from_secs(30),
            permitted_number_of_calls_in_half_open_state: 1,
        }
    }

    /// The full form over `window`, with resilience4j's defaults (100 calls, 50 %, 60 s, 10 probes).
    pub const fn sliding(window: SlidingWindow) -> Self {
        Self {
            consecutive_failures: None,
            window: Some(window),
            wait_duration_in_open_state: Duration::from_mins(1),
            permitted_number_of_calls_in_half_open_state: 10,
            ..Self::consecutive(0)
        }
    }
}

impl Default for BreakerPolicy {
    /// The short form with 5 consecutive failures.
    fn default() -> Self {
        Self::consecutive(5)
    }
}

/// What the rates are computed over (resilience4j `slidingWindowType`, `slidingWindowSize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlidingWindow {
    /// `COUNT_BASED`: the last so many calls.
    Count(u32),
    /// `TIME_BASED`: the calls of the last so long.
    Time(Duration),
}

/// Where a breaker stands (resilience4j `CircuitBreaker.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// Nothing passes until the wait is over.
    Open,
    /// A few probes pass; what they come to decides.
    HalfOpen,
    /// Nothing passes until an operator says so.
    ForcedOpen,
    /// Everything passes and nothing is counted.
    Disabled,
    /// Everything passes and is counted.
    MetricsOnly,
}

impl State {
    /// resilience4j's word, as in logs and in the label `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
            Self::ForcedOpen => "FORCED_OPEN",
            Self::Disabled => "DISABLED",
            Self::MetricsOnly => "METRICS_ONLY",
        }
    }
}

/// A state that an operator sets; it holds until the operator sets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forced {
    /// Back to normal, with empty counts.
    Closed,
    /// Admit nothing.
    ForcedOpen,
    /// Admit all, count nothing.
    Disabled,
    /// Admit all, count all.
    MetricsOnly,
}

/// Whether a call may be made.
#[derive(Debug)]
pub enum Admission {
    /// It may; what it comes to must be told to the permit.
    Admitted(Permit),
    /// It may not: a local rejection.
    Refused {
        /// When to ask again; zero while `HALF_OPEN` waits for its probes, whose end nobody knows.
        retry_after: Duration,
    },
}

/// What a call came to, in the breaker's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The upstream did its work.
    Success,
    /// It did not.
    Failure,
}

/// A change of state: worth a log line and a count each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The state that was left.
    pub from: State,
    /// The state that was entered.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// So many failures without a success between them.
    ConsecutiveFailures(u32),
    /// The failure rate, in percent, reached its threshold.
    FailureRate(f64),
    /// The rate of slow calls, in percent, reached its threshold.
    SlowCallRate(f64),
    /// `waitDurationInOpenState` is over.
    WaitElapsed,
    /// A probe failed.
    ProbeFailed,
    /// The probes succeeded.
    ProbesSucceeded,
    /// An operator asked.
    Forced,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(1) => f.write_str("a failure"),
            Self::ConsecutiveFailures(failures) => write!(f, "{failures} failures in a row"),
            Self::FailureRate(percent) => write!(f, "failure rate {percent:.1} %"),
            Self::SlowCallRate(percent) => write!(f, "rate of slow calls {percent:.1} %"),
            Self::WaitElapsed => f.write_str("the wait is over"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbesSucceeded => f.write_str("probes succeeded"),
            Self::Forced => f.write_str("an operator asked"),
        }
    }
}

/// A breaker as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it stands. OPEN stays OPEN after its wait until a call asks, as in resilience4j.
    pub state: State,
    /// What is counted: the window in CLOSED and `METRICS_ONLY`, the finished probes in `HALF_OPEN`.
    pub tally: Tally,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// OPEN only: how long until a probe is admitted.
    pub until_half_open: Option<Duration>,
}
