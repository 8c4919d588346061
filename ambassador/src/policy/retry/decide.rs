// SPDX-License-Identifier: Apache-2.0
//! Whether a request is tried again.
//!
//! One function holds every rule, in the order in which they are asked: what is safe comes before what is wanted, and
//! the budget comes last, because asking it spends. It must never let a request that the upstream may have acted on be
//! sent again, unless repeating it is harmless by its method, by its `Idempotency-Key`, or by what the operator has
//! declared of the route (`idempotent`). No status proves that nothing was done, gRPC's UNAVAILABLE included: a server
//! may say it after it has acted.

use super::{RetryAfterPolicy, RetryCondition, RetryPolicy};
use crate::policy::breaker::Breaker;
use crate::policy::budget::Budget;
use crate::policy::classify::AttemptOutcome;
use crate::policy::clock::Now;
use crate::policy::deadline::Deadline;
use crate::policy::pushback::Pushback;
use std::sync::Arc;
use std::time::Duration;

/// What is known of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// Its method, case-sensitive.
    pub method: &'a str,
    /// It carries an `Idempotency-Key`.
    pub idempotency_key: bool,
    /// All that has been read of its body is still there to be sent again.
    pub replayable: bool,
    /// Where another attempt would go.
    pub next: NextAttempt,
    /// Its user is known by the connection (NTLM, Negotiate), which an attempt that failed may have ended.
    pub bound: bool,
}

/// Where another attempt would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// Where the one before went.
    SameAddress,
    /// To another endpoint, if there is one.
    AnyEndpoint,
}

impl RequestFacts<'_> {
    /// A dial, which asks for nothing but a connection.
    pub const DIAL: Self = RequestFacts {
        method: "CONNECT",
        idempotency_key: false,
        replayable: true,
        next: NextAttempt::SameAddress,
        bound: false,
    };
}

/// The attempt that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number; the first is 1. The free retry of a stale connection does not count.
    pub number: u32,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// What its reply asked of the next one.
    pub pushback: Pushback,
    /// The request has already had its free retry.
    pub stale_retried: bool,
}

/// What a request shares with others.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// The upstream's retry budget; `None` where a retry is only thought of (mode shadow).
    pub budget: Option<&'a Budget>,
    /// Every breaker that the next attempt must pass.
    pub breakers: &'a [Arc<Breaker>],
}

/// What to do with a request whose attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Wait, ask the breakers for a permit, and try again.
    Retry {
        /// How long to wait first.
        after: Duration,
        /// Why.
        reason: RetryReason,
    },
    /// Hand on what came.
    GiveUp(GiveUp),
}

/// Why a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// A condition of `retryOn` held.
    Condition(RetryCondition),
    /// The connection had gone stale. The next attempt must use a fresh one, and has the same number.
    StaleConnection,
}

/// Why a request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GiveUp {
    /// Nothing that happened is to be retried, or no retries are configured.
    NotRetriable,
    /// All configured attempts were made.
    AttemptsExhausted,
    /// The upstream may have acted on the request, and repeating it may do harm.
    UnsafeMethod,
    /// Another connection would not know the user: only the program can make it known there.
    BoundConnection,
    /// The body is longer than `maxReplayBytes`.
    BodyNotReplayable,
    /// The upstream asked for no further attempt.
    PushedBack,
    /// The upstream asked for a wait beyond the deadline or beyond the longest that is obeyed.
    RetryAfterBeyondDeadline,
    /// The request's time would be over before the next attempt.
    DeadlineTooClose,
    /// The upstream's retries are used up.
    BudgetExhausted,
    /// A breaker refuses.
    BreakerOpen,
    /// `maxRetries` are under way; the caller finds that when it asks the bulkhead for a place.
    TooManyRetries,
}

/// Decides, and takes the retry from the budget if there is to be one.
///
/// A stale connection is retried once, at once, where that is safe: without a condition, an attempt or the budget,
/// because the upstream never saw the request.
pub fn decide(
    policy: &RetryPolicy,
    request: &RequestFacts<'_>,
    attempt: &Attempt,
    shared: Shared<'_>,
    now: Now,
    deadline: Deadline,
    rng: &mut fastrand::Rng,
) -> RetryDecision {
    match next(policy, request, attempt, shared, now, deadline, rng) {
        Ok((after, reason)) => RetryDecision::Retry { after, reason },
        Err(reason) => RetryDecision::GiveUp(reason),
    }
}

/// Whether anything speaks for another attempt. Where nothing does, [`decide`] gives up as
/// [`NotRetriable`](GiveUp::NotRetriable), and whoever asks this first need not gather facts for it.
pub fn is_due(policy: &RetryPolicy, outcome: AttemptOutcome, stale_retried: bool) -> bool {
    let (stale, condition) = grounds(policy, outcome, stale_retried);
    stale || condition.is_some()
}

/// Whether a connection was stale, and the condition that holds.
fn grounds(
    policy: &RetryPolicy,
    outcome: AttemptOutcome,
    stale_retried: bool,
) -> (bool, Option<RetryCondition>) {
    let condition = outcome.retry_condition(policy).filter(|_| policy.attempts > 0);
    (outcome.is_stale_connection() && !stale_retried, condition)
}

fn next(
    policy: &RetryPolicy,
    request: &RequestFacts<'_>,
    attempt: &Attempt,
    shared: Shared<'_>,
    now: Now,
    deadline: Deadline,
    rng: &mut fastrand::Rng,
) -> Result<(Duration, RetryReason), GiveUp> {
    let (stale, condition) = grounds(policy, attempt.outcome, attempt.stale_retried);
    // Routes do not come within a backoff.
    let in_vain = attempt.outcome == AttemptOutcome::NoRoute && request.next == NextAttempt::SameAddress;
    if !stale && condition.is_none() || in_vain {
        return Err(GiveUp::NotRetriable);
    }
    if request.bound {
        return Err(GiveUp::BoundConnection);
    }
    if !may_repeat(policy, request, attempt.outcome) {
        return Err(GiveUp::UnsafeMethod);
    }
    if !request.replayable {
        return Err(GiveUp::BodyNotReplayable);
    }
    if stale {
        let in_time = deadline.allows(now, Duration::ZERO);
        return in_time
            .then_some((Duration::ZERO, RetryReason::StaleConnection))
            .ok_or(GiveUp::DeadlineTooClose);
    }
    let condition = condition.ok_or(GiveUp::NotRetriable)?;
    if attempt.number > policy.attempts {
        return Err(GiveUp::AttemptsExhausted);
    }
    let after = wait(policy, attempt, now, deadline, rng)?;
    if shared.breakers.iter().any(|breaker| breaker.refuses(now.after(after))) {
        return Err(GiveUp::BreakerOpen);
    }
    if shared.budget.is_some_and(|budget| !budget.withdraw(now)) {
        return Err(GiveUp::BudgetExhausted);
    }
    Ok((after, RetryReason::Condition(condition)))
}

/// The backoff, or what the reply asked for; an error if that does not fit, or the reply forbids it.
fn wait(
    policy: &RetryPolicy,
    attempt: &Attempt,
    now: Now,
    deadline: Deadline,
    rng: &mut fastrand::Rng,
) -> Result<Duration, GiveUp> {
    let backoff = policy.backoff.delay(attempt.number.saturating_sub(1), rng);
    let (asked, max) = match (policy.retry_after, attempt.pushback) {
        (RetryAfterPolicy::Ignore, _) | (_, Pushback::None) => {
            return deadline.allows(now, backoff).then_some(backoff).ok_or(GiveUp::DeadlineTooClose);
        }
        (_, Pushback::Never) => return Err(GiveUp::PushedBack),
        (RetryAfterPolicy::Honour { max }, Pushback::AtLeast(asked) | Pushback::Exactly(asked)) => {
            (asked, max)
        }
    };
    if asked > max || !deadline.allows(now, asked) {
        return Err(GiveUp::RetryAfterBeyondDeadline);
    }
    let after = if attempt.pushback == Pushback::Exactly(asked) { asked } else { backoff.max(asked) };
    Ok(if deadline.allows(now, after) { after } else { asked })
}

/// Whether sending the request again can do no harm that sending it once does not.
fn may_repeat(policy: &RetryPolicy, request: &RequestFacts<'_>, outcome: AttemptOutcome) -> bool {
    outcome.is_provably_unsent()
        || request.idempotency_key
        || is_idempotent(request.method)
        || policy.idempotent
}

/// Whether repeating a request of this method is harmless by definition (RFC 9110 §9.2.2).
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}
