// SPDX-License-Identifier: Apache-2.0
//! A breaker that several threads ask at once.

use super::{QUICK, at, breaker};
use crate::policy::breaker::{Admission, BreakerPolicy, CallOutcome, SlidingWindow, State, Transition};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

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
