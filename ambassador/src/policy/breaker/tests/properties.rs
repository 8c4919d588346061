// SPDX-License-Identifier: Apache-2.0
//! What holds of a breaker whatever happens to it.

use super::{QUICK, at, breaker};
use crate::policy::breaker::{Admission, BreakerPolicy, CallOutcome, Permit, SlidingWindow, State};
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};
use std::time::Duration;

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
        let (mut period, mut half_opened) = (0, 0);
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
                    State::HalfOpen => (successes, half_opened) = (0, clock),
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
            let waits = clock.saturating_sub(half_opened) / 60;
            prop_assert!(probes as u64 <= u64::from(policy.permitted_number_of_calls_in_half_open_state) + waits);
        }
    }
}
