// SPDX-License-Identifier: Apache-2.0
//! The breaker's rules, one by one.

mod properties;
mod races;

use super::{
    Admission, Breaker, BreakerPolicy, CallOutcome, Cause, Forced, Permit, SlidingWindow, State, Transition,
};
use crate::policy::clock::Now;
use std::sync::Arc;
use std::time::Duration;

const QUICK: Duration = Duration::from_millis(1);

fn at(secs: u64) -> Now {
    Now::from_elapsed(Duration::from_secs(secs))
}

fn breaker(policy: BreakerPolicy) -> Arc<Breaker> {
    Arc::new(Breaker::new(policy))
}

fn admitted(breaker: &Arc<Breaker>, now: Now) -> Permit {
    match breaker.admit(now) {
        Admission::Admitted(permit) => permit,
        Admission::Refused { retry_after } => panic!("refused for {retry_after:?}"),
    }
}

fn refused(breaker: &Arc<Breaker>, now: Now) -> Duration {
    match breaker.admit(now) {
        Admission::Admitted(_) => panic!("admitted"),
        Admission::Refused { retry_after } => retry_after,
    }
}

fn call(breaker: &Arc<Breaker>, now: Now, outcome: CallOutcome) -> Option<Transition> {
    admitted(breaker, now).sample(breaker, now, outcome, QUICK)
}

fn fail(breaker: &Arc<Breaker>, now: Now) -> Option<Transition> {
    call(breaker, now, CallOutcome::Failure)
}

fn succeed(breaker: &Arc<Breaker>, now: Now) -> Option<Transition> {
    call(breaker, now, CallOutcome::Success)
}

#[test]
fn the_short_form_opens_waits_probes_once_and_closes() {
    let breaker = breaker(BreakerPolicy::consecutive(5));
    for _ in 0..4 {
        assert_eq!(fail(&breaker, at(0)), None);
    }
    let opened = fail(&breaker, at(0)).unwrap();
    assert_eq!((opened.from, opened.to), (State::Closed, State::Open));
    assert_eq!(opened.cause, Cause::ConsecutiveFailures(5));

    assert_eq!(refused(&breaker, at(0)), Duration::from_secs(30));
    assert_eq!(refused(&breaker, at(29)), Duration::from_secs(1));
    assert_eq!(breaker.snapshot(at(29)).until_half_open, Some(Duration::from_secs(1)));
    assert!(breaker.refuses(at(29)) && !breaker.refuses(at(30)));

    let probe = admitted(&breaker, at(30));
    assert_eq!(probe.transition().map(|it| (it.from, it.to)), Some((State::Open, State::HalfOpen)));
    assert!(probe.is_probe());
    assert_eq!(refused(&breaker, at(31)), Duration::ZERO);
    let closed = probe.sample(&breaker, at(31), CallOutcome::Success, QUICK).unwrap();
    assert_eq!(
        (closed.from, closed.to, closed.cause),
        (State::HalfOpen, State::Closed, Cause::ProbesSucceeded)
    );
    assert_eq!(succeed(&breaker, at(31)), None);
}

#[test]
fn a_success_between_failures_starts_the_count_again() {
    let breaker = breaker(BreakerPolicy::consecutive(3));
    for _ in 0..10 {
        assert_eq!(fail(&breaker, at(0)), None);
        assert_eq!(fail(&breaker, at(0)), None);
        assert_eq!(succeed(&breaker, at(0)), None);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_failed_probe_opens_for_another_whole_wait() {
    let breaker = breaker(BreakerPolicy::consecutive(1));
    fail(&breaker, at(0));
    let reopened = fail(&breaker, at(40)).unwrap();
    assert_eq!(
        (reopened.from, reopened.to, reopened.cause),
        (State::HalfOpen, State::Open, Cause::ProbeFailed)
    );
    assert_eq!(refused(&breaker, at(40)), Duration::from_secs(30));
}

#[test]
fn a_probe_that_ends_without_outcome_gives_its_place_back() {
    let breaker = breaker(BreakerPolicy::consecutive(1));
    fail(&breaker, at(0));
    drop(admitted(&breaker, at(30)));
    assert_eq!(breaker.state(), State::HalfOpen);
    let probe = admitted(&breaker, at(30));
    refused(&breaker, at(30));
    drop(probe);
    assert_eq!(succeed(&breaker, at(30)).map(|it| it.to), Some(State::Closed));
}

#[test]
fn a_call_of_an_earlier_period_never_counts_in_a_later_one() {
    let breaker = breaker(BreakerPolicy::consecutive(1));
    let early_success = admitted(&breaker, at(0));
    let early_failure = admitted(&breaker, at(0));
    fail(&breaker, at(0));
    let probe = admitted(&breaker, at(30));
    assert_eq!(early_success.sample(&breaker, at(30), CallOutcome::Success, QUICK), None);
    assert_eq!(early_failure.sample(&breaker, at(30), CallOutcome::Failure, QUICK), None);
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(probe.sample(&breaker, at(30), CallOutcome::Success, QUICK).is_some());
}

#[test]
fn a_count_window_opens_at_its_threshold_and_not_before_its_minimum() {
    let window =
        BreakerPolicy { minimum_number_of_calls: 4, ..BreakerPolicy::sliding(SlidingWindow::Count(10)) };
    let breaker = breaker(window);
    for _ in 0..3 {
        assert_eq!(fail(&breaker, at(0)), None);
    }
    // The fourth call succeeds, and yet its arrival makes the rate of 75 % count.
    let opened = succeed(&breaker, at(0)).unwrap();
    assert_eq!((opened.to, opened.cause), (State::Open, Cause::FailureRate(75.0)));
}

#[test]
fn a_minimum_above_the_count_window_is_clamped_to_it() {
    let breaker = breaker(BreakerPolicy::sliding(SlidingWindow::Count(2)));
    assert_eq!(fail(&breaker, at(0)), None);
    assert!(fail(&breaker, at(0)).is_some());
}

#[test]
fn a_time_window_forgets_old_failures() {
    let policy = BreakerPolicy {
        minimum_number_of_calls: 4,
        ..BreakerPolicy::sliding(SlidingWindow::Time(Duration::from_secs(10)))
    };
    let breaker = breaker(policy);
    for second in [0, 0, 0, 20, 20, 20] {
        assert_eq!(fail(&breaker, at(second)), None);
    }
    assert!(fail(&breaker, at(21)).is_some());
}

#[test]
fn slow_calls_open_as_failures_do() {
    let policy = BreakerPolicy {
        minimum_number_of_calls: 2,
        slow_call_duration_threshold: Duration::from_millis(100),
        slow_call_rate_threshold: 50.0,
        ..BreakerPolicy::sliding(SlidingWindow::Count(10))
    };
    let breaker = breaker(policy);
    succeed(&breaker, at(0));
    let slow = Duration::from_millis(101);
    let opened = admitted(&breaker, at(0)).sample(&breaker, at(0), CallOutcome::Success, slow).unwrap();
    assert_eq!(opened.cause, Cause::SlowCallRate(50.0));
}

#[test]
fn with_a_window_all_probes_finish_before_their_rate_is_judged() {
    let policy = BreakerPolicy {
        permitted_number_of_calls_in_half_open_state: 4,
        ..BreakerPolicy::sliding(SlidingWindow::Count(2))
    };
    let check = |failures: usize, want: State| {
        let breaker = breaker(policy.clone());
        fail(&breaker, at(0));
        fail(&breaker, at(0));
        let probes: Vec<_> = (0..4).map(|_| admitted(&breaker, at(60))).collect();
        refused(&breaker, at(60));
        for (index, probe) in probes.into_iter().enumerate() {
            assert_eq!(breaker.state(), State::HalfOpen);
            let failed = if index < failures { CallOutcome::Failure } else { CallOutcome::Success };
            probe.sample(&breaker, at(60), failed, QUICK);
        }
        assert_eq!(breaker.state(), want, "{failures} failures");
    };
    check(0, State::Closed);
    check(1, State::Closed);
    check(2, State::Open);
    check(4, State::Open);
}

#[test]
fn in_the_short_form_the_first_failed_probe_decides() {
    let policy =
        BreakerPolicy { permitted_number_of_calls_in_half_open_state: 3, ..BreakerPolicy::consecutive(1) };
    let breaker = breaker(policy);
    fail(&breaker, at(0));
    assert_eq!(succeed(&breaker, at(30)), None);
    assert_eq!(fail(&breaker, at(30)).map(|it| it.to), Some(State::Open));
    for _ in 0..2 {
        assert_eq!(succeed(&breaker, at(60)), None);
    }
    assert_eq!(succeed(&breaker, at(60)).map(|it| it.to), Some(State::Closed));
}

#[test]
fn a_threshold_that_cannot_be_reached_does_not_close_without_a_success() {
    let policy = BreakerPolicy {
        consecutive_failures: Some(1),
        failure_rate_threshold: 101.0,
        permitted_number_of_calls_in_half_open_state: 1,
        ..BreakerPolicy::sliding(SlidingWindow::Count(2))
    };
    let breaker = breaker(policy);
    fail(&breaker, at(0));
    assert_eq!(fail(&breaker, at(60)).map(|it| it.to), Some(State::Open));
}

#[test]
fn a_forced_state_holds_until_it_is_taken_back() {
    let breaker = breaker(BreakerPolicy::consecutive(1));
    let under_way = admitted(&breaker, at(0));
    let forced = breaker.force(Forced::ForcedOpen);
    assert_eq!((forced.from, forced.to, forced.cause), (State::Closed, State::ForcedOpen, Cause::Forced));
    assert_eq!(under_way.sample(&breaker, at(0), CallOutcome::Failure, QUICK), None);
    refused(&breaker, at(1_000_000));

    breaker.force(Forced::Disabled);
    assert_eq!(fail(&breaker, at(0)), None);

    breaker.force(Forced::MetricsOnly);
    assert_eq!(fail(&breaker, at(0)), None);
    assert_eq!(fail(&breaker, at(0)), None);
    assert_eq!(breaker.snapshot(at(0)).consecutive_failures, 2);

    breaker.force(Forced::Closed);
    assert_eq!(breaker.snapshot(at(0)).consecutive_failures, 0);
    assert!(fail(&breaker, at(0)).is_some());
}

#[test]
fn a_probe_that_never_ends_gives_way_to_another_after_each_wait() {
    let breaker = breaker(BreakerPolicy {
        wait_duration_in_open_state: Duration::from_secs(10),
        ..BreakerPolicy::consecutive(1)
    });
    let admit = |seconds| match breaker.admit(at(seconds)) {
        Admission::Admitted(permit) => Some(permit),
        Admission::Refused { .. } => None,
    };
    let call = admit(0).expect("closed");
    call.sample(&breaker, at(0), CallOutcome::Failure, QUICK).expect("it opens");
    let hung = admit(10).expect("the first probe");
    assert!(admit(19).is_none(), "one at a time");
    let second = admit(20).expect("the first probe has had its time");
    assert!(admit(29).is_none());
    let third = admit(30).expect("so has the second");
    drop(second);
    let again = admit(31).expect("a probe that was given up leaves its place");
    again.sample(&breaker, at(31), CallOutcome::Success, QUICK).expect("it closes");
    assert_eq!(breaker.state(), State::Closed);
    drop((hung, third));
    assert!(admit(32).is_some());
}

#[test]
fn a_probe_that_takes_longer_than_the_wait_still_decides() {
    let breaker = breaker(BreakerPolicy {
        wait_duration_in_open_state: Duration::from_secs(2),
        ..BreakerPolicy::consecutive(1)
    });
    let admit = |seconds| match breaker.admit(at(seconds)) {
        Admission::Admitted(permit) => Some(permit),
        Admission::Refused { .. } => None,
    };
    admit(0).expect("closed").sample(&breaker, at(0), CallOutcome::Failure, QUICK).expect("it opens");
    let slow = admit(2).expect("a probe");
    let _beside = admit(5).expect("another one");
    slow.sample(&breaker, at(9), CallOutcome::Success, QUICK).expect("it closes");
    assert_eq!(breaker.state(), State::Closed);
}
