// SPDX-License-Identifier: Apache-2.0
//! The retry decision: what is safe, what is wanted, what fits.

use super::{
    Attempt, GiveUp, NextAttempt, RequestFacts, RetryAfterPolicy, RetryCondition, RetryDecision, RetryOn,
    RetryPolicy, RetryReason, Shared, decide, is_due,
};
use crate::policy::breaker::{Breaker, BreakerPolicy, Forced};
use crate::policy::budget::{Budget, BudgetPolicy};
use crate::policy::classify::{AttemptOutcome as Outcome, Written};
use crate::policy::clock::Now;
use crate::policy::deadline::Deadline;
use crate::policy::pushback::Pushback;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::select;
use std::sync::Arc;
use std::time::Duration;

const GET: RequestFacts<'_> = RequestFacts { method: "GET", ..RequestFacts::DIAL };
const POST: RequestFacts<'_> = RequestFacts { method: "POST", ..GET };
const STALE: Outcome = Outcome::Reset { reused: true, written: Written::Fully, replied: false };

fn policy(attempts: u32) -> RetryPolicy {
    RetryPolicy { attempts, retry_on: RetryCondition::ALL.into_iter().collect(), ..RetryPolicy::default() }
}

fn first(outcome: Outcome) -> Attempt {
    Attempt { number: 1, outcome, pushback: Pushback::None, stale_retried: false }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn decision(
    policy: &RetryPolicy,
    request: RequestFacts<'_>,
    attempt: Attempt,
    deadline: Deadline,
) -> RetryDecision {
    let budget = Budget::new(&policy.budget);
    let shared = Shared { budget: Some(&budget), breakers: &[] };
    let rng = &mut fastrand::Rng::with_seed(1);
    let decided = decide(policy, &request, &attempt, shared, Now::ORIGIN, deadline, rng);
    let due = is_due(policy, attempt.outcome, attempt.stale_retried);
    assert!(due || reason(decided) == Err(GiveUp::NotRetriable), "whoever asks before misses nothing");
    decided
}

fn reason(decision: RetryDecision) -> Result<RetryReason, GiveUp> {
    match decision {
        RetryDecision::Retry { reason, .. } => Ok(reason),
        RetryDecision::GiveUp(why) => Err(why),
    }
}

#[test]
fn a_request_that_may_have_been_acted_on_is_repeated_only_where_that_is_harmless() {
    let keyed = RequestFacts { idempotency_key: true, ..POST };
    let check = |outcome: Outcome, post: bool| {
        let retried = |request| reason(decision(&policy(3), request, first(outcome), Deadline::NONE)).is_ok();
        assert_eq!(retried(POST), post, "POST {outcome:?}");
        assert!(retried(keyed), "POST with Idempotency-Key {outcome:?}");
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(retried(RequestFacts { method, ..GET }), "{method} {outcome:?}");
        }
        for method in ["PATCH", "CONNECT", "get", "", "PROPFIND"] {
            assert_eq!(retried(RequestFacts { method, ..GET }), post, "{method} {outcome:?}");
        }
    };
    let reset = |reused, written| Outcome::Reset { reused, written, replied: false };
    check(Outcome::ConnectFailed, true);
    check(Outcome::RefusedStream, true);
    check(Outcome::GoawayUnprocessed, true);
    check(reset(true, Written::Nothing), true);
    check(reset(true, Written::Partly), true);
    check(reset(true, Written::Fully), false);
    check(reset(false, Written::Nothing), true);
    check(reset(false, Written::Partly), false);
    check(reset(false, Written::Fully), false);
    check(Outcome::PerTryTimeout { written: Written::Fully }, false);
    check(Outcome::Status(503), false);
    check(Outcome::Grpc(14), false);
}

/// The declaration says what is harmless, the conditions still say what is wanted.
#[test]
fn an_idempotent_route_repeats_any_method_on_what_retry_on_names() {
    let unavailable = RetryOn::EMPTY.with(RetryCondition::Unavailable).with(RetryCondition::GatewayError);
    let check = |idempotent, outcome, want| {
        let policy = RetryPolicy { idempotent, retry_on: unavailable, ..policy(3) };
        let decided = reason(decision(&policy, POST, first(outcome), Deadline::NONE));
        assert_eq!(decided, want, "{outcome:?} {idempotent}");
    };
    check(true, Outcome::Grpc(14), Ok(RetryReason::Condition(RetryCondition::Unavailable)));
    check(true, Outcome::Grpc(13), Err(GiveUp::NotRetriable));
    check(true, Outcome::Status(503), Ok(RetryReason::Condition(RetryCondition::GatewayError)));
    check(true, STALE, Ok(RetryReason::StaleConnection));
    check(false, Outcome::Grpc(14), Err(GiveUp::UnsafeMethod));
    check(false, Outcome::Status(503), Err(GiveUp::UnsafeMethod));
    check(false, STALE, Err(GiveUp::UnsafeMethod));
}

#[test]
fn without_configuration_only_a_stale_connection_is_retried_and_only_once() {
    let none = RetryPolicy::default();
    let empty = BudgetPolicy { retry_ratio: 0.0, min_retries_per_second: 0, ..BudgetPolicy::default() };
    let check = |request, outcome, stale_retried: bool, want: Result<RetryReason, GiveUp>| {
        let attempt = Attempt { stale_retried, ..first(outcome) };
        let policy = RetryPolicy { budget: empty.clone(), ..none.clone() };
        assert_eq!(reason(decision(&policy, request, attempt, Deadline::NONE)), want, "{outcome:?}");
    };
    let half_sent = Outcome::Reset { reused: true, written: Written::Partly, replied: false };
    let answered = Outcome::Reset { reused: true, written: Written::Fully, replied: true };
    check(GET, STALE, false, Ok(RetryReason::StaleConnection));
    check(GET, Outcome::GoawayUnprocessed, false, Ok(RetryReason::StaleConnection));
    check(GET, STALE, true, Err(GiveUp::NotRetriable));
    check(POST, STALE, false, Err(GiveUp::UnsafeMethod));
    check(POST, half_sent, false, Ok(RetryReason::StaleConnection));
    check(RequestFacts { replayable: false, ..GET }, STALE, false, Err(GiveUp::BodyNotReplayable));
    check(GET, answered, false, Err(GiveUp::NotRetriable));
    for outcome in [Outcome::ConnectFailed, Outcome::RefusedStream, Outcome::Status(503)] {
        check(GET, outcome, false, Err(GiveUp::NotRetriable));
    }
}

#[test]
fn an_address_without_a_route_is_worth_another_attempt_only_elsewhere() {
    let check = |next, want| {
        let request = RequestFacts { next, ..RequestFacts::DIAL };
        assert_eq!(reason(decision(&policy(3), request, first(Outcome::NoRoute), Deadline::NONE)), want);
    };
    check(NextAttempt::SameAddress, Err(GiveUp::NotRetriable));
    check(NextAttempt::AnyEndpoint, Ok(RetryReason::Condition(RetryCondition::ConnectFailure)));
}

#[test]
fn after_the_free_retry_the_policy_applies() {
    let attempt = Attempt { stale_retried: true, ..first(STALE) };
    let decision = decision(&policy(1), GET, attempt, Deadline::NONE);
    assert_eq!(reason(decision), Ok(RetryReason::Condition(RetryCondition::Reset)));
}

#[test]
fn each_reason_to_give_up_is_told_apart() {
    let check = |request, attempt, deadline, want| {
        assert_eq!(reason(decision(&policy(2), request, attempt, deadline)), Err(want));
    };
    let failed = first(Outcome::Status(503));
    check(GET, first(Outcome::Status(404)), Deadline::NONE, GiveUp::NotRetriable);
    check(GET, first(Outcome::Local), Deadline::NONE, GiveUp::NotRetriable);
    check(GET, first(Outcome::ClientGone), Deadline::NONE, GiveUp::NotRetriable);
    check(GET, first(Outcome::RequestTimeout), Deadline::NONE, GiveUp::NotRetriable);
    check(GET, Attempt { number: 3, ..failed }, Deadline::NONE, GiveUp::AttemptsExhausted);
    check(POST, failed, Deadline::NONE, GiveUp::UnsafeMethod);
    for outcome in [STALE, Outcome::Status(503), Outcome::PerTryTimeout { written: Written::Nothing }] {
        let bound = RequestFacts { bound: true, ..GET };
        check(bound, first(outcome), Deadline::NONE, GiveUp::BoundConnection);
    }
    check(RequestFacts { replayable: false, ..GET }, failed, Deadline::NONE, GiveUp::BodyNotReplayable);
    check(GET, failed, Deadline::at(Now::ORIGIN), GiveUp::DeadlineTooClose);
    check(GET, first(STALE), Deadline::at(Now::ORIGIN), GiveUp::DeadlineTooClose);
}

#[test]
fn retry_after_is_obeyed_within_the_deadline_and_fails_at_once_beyond_it() {
    let check = |asked: u64, deadline: Option<u64>, want: Result<u64, GiveUp>| {
        let attempt = Attempt { pushback: Pushback::AtLeast(secs(asked)), ..first(Outcome::Status(503)) };
        let deadline = deadline.map_or(Deadline::NONE, |it| Deadline::at(Now::ORIGIN.after(secs(it))));
        let want = match want {
            Ok(after) => RetryDecision::Retry {
                after: secs(after),
                reason: RetryReason::Condition(RetryCondition::GatewayError),
            },
            Err(why) => RetryDecision::GiveUp(why),
        };
        assert_eq!(decision(&policy(3), GET, attempt, deadline), want, "{asked} {deadline:?}");
    };
    check(2, Some(5), Ok(2));
    check(2, None, Ok(2));
    check(5, Some(5), Err(GiveUp::RetryAfterBeyondDeadline));
    check(60, Some(5), Err(GiveUp::RetryAfterBeyondDeadline));
    check(60, None, Err(GiveUp::RetryAfterBeyondDeadline));

    let attempt = Attempt { pushback: Pushback::AtLeast(secs(60)), ..first(Outcome::Status(503)) };
    let ignoring = RetryPolicy { retry_after: RetryAfterPolicy::Ignore, ..policy(3) };
    let RetryDecision::Retry { after, .. } = decision(&ignoring, GET, attempt, Deadline::NONE) else {
        panic!("not retried");
    };
    assert!(after <= ignoring.backoff.base);
}

/// gRFC A6: the server's word stands in place of the backoff.
#[test]
fn a_pushback_is_the_wait_or_the_end() {
    let millis = Duration::from_millis;
    let check = |pushback, deadline, want: Result<Duration, GiveUp>| {
        // A fourth attempt would back off for longer.
        let attempt = Attempt { number: 3, pushback, ..first(Outcome::Grpc(14)) };
        let want = match want {
            Ok(after) => {
                RetryDecision::Retry { after, reason: RetryReason::Condition(RetryCondition::Unavailable) }
            }
            Err(why) => RetryDecision::GiveUp(why),
        };
        assert_eq!(decision(&policy(3), GET, attempt, deadline), want, "{pushback:?} {deadline:?}");
    };
    let second = Deadline::at(Now::ORIGIN.after(secs(1)));
    check(Pushback::Exactly(millis(0)), second, Ok(millis(0)));
    check(Pushback::Exactly(millis(999)), second, Ok(millis(999)));
    check(Pushback::Exactly(millis(1000)), second, Err(GiveUp::RetryAfterBeyondDeadline));
    check(Pushback::Exactly(secs(30)), Deadline::NONE, Ok(secs(30)));
    check(Pushback::Exactly(secs(31)), Deadline::NONE, Err(GiveUp::RetryAfterBeyondDeadline));
    check(Pushback::Exactly(Duration::MAX), second, Err(GiveUp::RetryAfterBeyondDeadline));
    check(Pushback::Never, Deadline::NONE, Err(GiveUp::PushedBack));
}

#[test]
fn an_open_breaker_and_an_empty_budget_end_the_retries() {
    let breaker = Arc::new(Breaker::new(BreakerPolicy::default()));
    let budget =
        Budget::new(&BudgetPolicy { retry_ratio: 1.0, min_retries_per_second: 0, ..BudgetPolicy::default() });
    budget.deposit(Now::ORIGIN);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut decide = || {
        let shared = Shared { budget: Some(&budget), breakers: std::slice::from_ref(&breaker) };
        let attempt = first(Outcome::Status(503));
        reason(super::decide(&policy(3), &GET, &attempt, shared, Now::ORIGIN, Deadline::NONE, &mut rng))
    };
    breaker.force(Forced::ForcedOpen);
    assert_eq!(decide(), Err(GiveUp::BreakerOpen));
    breaker.force(Forced::Closed);
    // The refusal by the breaker spent nothing.
    assert!(decide().is_ok());
    assert_eq!(decide(), Err(GiveUp::BudgetExhausted));
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let written = select(&[Written::Nothing, Written::Partly, Written::Fully][..]);
    prop_oneof![
        select(&[200u16, 404, 409, 429, 500, 503][..]).prop_map(Outcome::Status),
        (0u16..17).prop_map(Outcome::Grpc),
        (any::<bool>(), written.clone(), any::<bool>())
            .prop_map(|(reused, written, replied)| Outcome::Reset { reused, written, replied }),
        written.prop_map(|written| Outcome::PerTryTimeout { written }),
        Just(Outcome::ConnectFailed),
        Just(Outcome::NoRoute),
        Just(Outcome::RefusedStream),
        Just(Outcome::GoawayUnprocessed),
        Just(Outcome::RequestTimeout),
        Just(Outcome::Local),
    ]
}

proptest! {
    #[test]
    fn a_request_is_attempted_at_most_once_more_than_configured_and_once_for_staleness(
        attempts in 0u32..5,
        story in proptest::collection::vec(outcomes(), 20),
        method in select(&["GET", "POST"][..]),
        per_second in 0u32..2,
        limit in proptest::option::of(0u64..3),
        seed: u64,
    ) {
        let policy = policy(attempts);
        let budget = Budget::new(&BudgetPolicy {
            retry_ratio: 0.0,
            min_retries_per_second: per_second,
            ..BudgetPolicy::default()
        });
        let shared = Shared { budget: Some(&budget), breakers: &[] };
        let mut rng = fastrand::Rng::with_seed(seed);
        let deadline = limit.map_or(Deadline::NONE, |limit| Deadline::at(Now::ORIGIN.after(secs(limit))));
        let (mut now, mut sent, mut may_have_acted) = (Now::ORIGIN, 0, false);
        let mut attempt = first(Outcome::Local);
        for outcome in story {
            sent += 1;
            prop_assert!(method != "POST" || !may_have_acted, "a POST was sent again after {:?}", attempt.outcome);
            may_have_acted |= !outcome.is_provably_unsent();
            attempt.outcome = outcome;
            match decide(&policy, &RequestFacts { method, ..GET }, &attempt, shared, now, deadline, &mut rng) {
                RetryDecision::GiveUp(_) => break,
                RetryDecision::Retry { reason: RetryReason::StaleConnection, .. } => attempt.stale_retried = true,
                RetryDecision::Retry { after, .. } => {
                    prop_assert!(after <= policy.backoff.max);
                    now = now.after(after);
                    attempt.number += 1;
                }
            }
            prop_assert!(!deadline.is_over(now), "the next attempt starts after the deadline");
        }
        prop_assert!(attempt.number <= 1 + attempts && attempt.number - 1 <= per_second * 10);
        prop_assert!(sent <= 1 + attempts + u32::from(attempt.stale_retried));
    }
}
