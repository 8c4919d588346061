// SPDX-License-Identifier: Apache-2.0
//! The breaker's rules, one by one, as properties, and raced by threads.

use super::{
    Admission, Breaker, BreakerPolicy, CallOutcome, Cause, Forced, Permit, SlidingWindow, State, Transition,
};
use crate::policy::clock::Now;
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
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

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Finish(usize, bool),
    Cancel(usize),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::strategy::Just(Step::Admit),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(call, failed)| Step::Finish(call, failed)),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Pass),
    ]
}

fn policies() -> impl Strategy<Value = BreakerPolicy> {
    (1u32..4, 1u32..4, 0u8..3).prop_map(|(failures, permitted, form)| BreakerPolicy {
        consecutive_failures: (form != 1).then_some(failures),
        window: (form != 0).then_some(SlidingWindow::Count(failures + 1)),
        permitted_number_of_calls_in_half_open_state: permitted,
        wait_duration_in_open_state: Duration::from_mins(1),
        ..BreakerPolicy::consecutive(1)
    })
}

proptest! {
    #[test]
    fn every_history_keeps_the_rules(policy in policies(), steps in proptest::collection::vec(step(), 0..200)) {
        let breaker = breaker(policy.clone());
        let (mut clock, mut opened, mut successes) = (0, 0, 0);
        let mut calls: Vec<(u32, Permit)> = Vec::new();
        let mut period = 0;
        for step in steps {
            let before = breaker.state();
            let transition = match step {
                Step::Pass(seconds) => {
                    clock += u64::from(seconds);
                    None
                }
                Step::Admit => match breaker.admit(at(clock)) {
                    Admission::Refused { .. } => {
                        prop_assert!(before != State::Closed);
                        None
                    }
                    Admission::Admitted(permit) => {
                        prop_assert!(before != State::Open || clock >= opened + 60, "OPEN admitted early");
                        let transition = permit.transition();
                        period += u32::from(transition.is_some());
                        calls.push((period, permit));
                        transition
                    }
                },
                Step::Cancel(_) | Step::Finish(..) if calls.is_empty() => None,
                Step::Cancel(call) => {
                    drop(calls.swap_remove(call % calls.len()));
                    None
                }
                Step::Finish(call, failed) => {
                    let (of, permit) = calls.swap_remove(call % calls.len());
                    let outcome = if failed { CallOutcome::Failure } else { CallOutcome::Success };
                    successes += u32::from(of == period && permit.is_probe() && !failed);
                    permit.sample(&breaker, at(clock), outcome, QUICK)
                }
            };
            if let Some(transition) = transition {
                prop_assert!(transition.from == before && transition.to == breaker.state());
                match transition.to {
                    State::Open => (opened, period) = (clock, period + 1),
                    State::HalfOpen => successes = 0,
                    State::Closed => {
                        prop_assert!(successes > 0, "closed without a success");
                        period += 1;
                    }
                    _ => prop_assert!(false, "entered {:?} unasked", transition.to),
                }
            } else {
                prop_assert!(before == breaker.state(), "changed without a transition");
            }
            let probes = calls.iter().filter(|(of, permit)| *of == period && permit.is_probe()).count();
            prop_assert!(probes <= policy.permitted_number_of_calls_in_half_open_state as usize);
        }
    }
}

#[test]
fn racing_workers_never_exceed_the_probes_and_agree_on_transitions() {
    let policy = BreakerPolicy {
        permitted_number_of_calls_in_half_open_state: 2,
        wait_duration_in_open_state: Duration::ZERO,
        minimum_number_of_calls: 2,
        ..BreakerPolicy::sliding(SlidingWindow::Count(4))
    };
    let breaker = breaker(policy);
    let probes = AtomicU32::new(0);
    let counts: Vec<AtomicU32> = (0..3).map(|_| AtomicU32::new(0)).collect();
    let count = |transition: Option<Transition>| {
        if let Some(transition) = transition {
            let index = match transition.to {
                State::Open => 0,
                State::HalfOpen => 1,
                _ => 2,
            };
            counts[index].fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        for seed in 0..4 {
            let (breaker, probes, count) = (&breaker, &probes, &count);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                for _ in 0..20_000 {
                    let Admission::Admitted(permit) = breaker.admit(at(0)) else { continue };
                    count(permit.transition());
                    let probe = permit.is_probe();
                    if probe {
                        assert!(probes.fetch_add(1, Ordering::SeqCst) < 2, "a third probe");
                    }
                    let outcome = if rng.bool() { CallOutcome::Failure } else { CallOutcome::Success };
                    if probe {
                        probes.fetch_sub(1, Ordering::SeqCst);
                    }
                    if rng.u8(..) < 20 {
                        drop(permit);
                    } else {
                        count(permit.sample(breaker, at(0), outcome, QUICK));
                    }
                }
            });
        }
    });
    // CLOSED → OPEN → HALF_OPEN → OPEN or CLOSED: each OPEN but the last was left exactly once, each by one worker.
    let [opened, half_opened, closed] = [0, 1, 2].map(|index| counts[index].load(Ordering::SeqCst));
    assert!(closed > 0 && closed <= half_opened);
    assert_eq!(opened, half_opened + u32::from(breaker.state() == State::Open));
}
