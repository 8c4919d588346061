// SPDX-License-Identifier: Apache-2.0
//! The budget's bound, step by step, as a property, and raced by threads.

use super::{Budget, BudgetPolicy};
use crate::policy::clock::Now;
use proptest::prelude::{any, prop_assert, proptest};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

fn at(millis: u64) -> Now {
    Now::from_elapsed(Duration::from_millis(millis))
}

fn budget(retry_ratio: f64, min_retries_per_second: u32) -> Budget {
    Budget::new(&BudgetPolicy { retry_ratio, min_retries_per_second, ttl: Duration::from_secs(10) })
}

fn withdrawn(budget: &Budget, now: Now) -> usize {
    (0..100_000).take_while(|_| budget.withdraw(now)).count()
}

#[test]
fn a_thousand_requests_bear_two_hundred_retries_and_the_reserve() {
    let budget = Budget::new(&BudgetPolicy::default());
    for _ in 0..1000 {
        budget.deposit(at(0));
    }
    assert_eq!(budget.balance(at(0)), 300);
    assert_eq!(withdrawn(&budget, at(0)), 300);
    assert_eq!(budget.balance(at(0)), 0);
}

#[test]
fn deposits_and_what_the_reserve_lent_expire_after_the_ttl() {
    let budget = budget(0.5, 1);
    for _ in 0..20 {
        budget.deposit(at(0));
    }
    assert_eq!(withdrawn(&budget, at(9_999)), 20);
    assert_eq!(withdrawn(&budget, at(15_000)), 0);
    // What was lent at 9.999 s is back ten seconds later; the deposits are not.
    assert_eq!(withdrawn(&budget, at(19_000)), 10);
}

#[test]
fn unused_deposits_are_gone_after_the_ttl() {
    let budget = budget(1.0, 0);
    for _ in 0..5 {
        budget.deposit(at(0));
    }
    assert_eq!(budget.balance(at(9_999)), 5);
    assert_eq!(withdrawn(&budget, at(10_000)), 0);
}

#[test]
fn a_worker_that_comes_late_does_not_undo_a_newer_time() {
    let budget = budget(1.0, 0);
    budget.deposit(at(25_000));
    budget.deposit(at(5_000));
    assert_eq!(budget.balance(at(25_000)), 2);
}

#[test]
fn parts_of_a_retry_add_up_over_buckets_and_survive_a_refusal() {
    let budget = budget(0.2, 0);
    for second in 0..4 {
        budget.deposit(at(second * 1000));
        assert!(!budget.withdraw(at(second * 1000)));
    }
    budget.deposit(at(4000));
    assert!(budget.withdraw(at(4000)) && !budget.withdraw(at(4000)));
}

#[test]
fn an_empty_policy_allows_nothing_and_odd_ratios_do_no_harm() {
    for ratio in [0.0, -1.0, f64::NAN] {
        let budget = budget(ratio, 0);
        budget.deposit(at(0));
        assert!(!budget.withdraw(at(0)), "{ratio}");
    }
    let budget = budget(f64::INFINITY, 0);
    budget.deposit(at(0));
    budget.deposit(at(0));
    assert!(budget.withdraw(at(0)));
}

proptest! {
    #[test]
    fn no_ttl_lets_more_through_than_its_requests_bear(
        steps in proptest::collection::vec((0u64..3000, any::<bool>()), 0..300),
        tenths in 0u32..20,
        per_second in 0u32..3,
    ) {
        let budget = budget(f64::from(tenths) / 10.0, per_second);
        let (mut clock, mut requests, mut retries) = (0, Vec::new(), Vec::new());
        for (pause, request) in steps {
            clock += pause / 10;
            if request {
                budget.deposit(at(clock));
                requests.push(clock);
            } else if budget.withdraw(at(clock)) {
                retries.push(clock);
            }
            // A retry of the last ttl was borne by a request of at most one ttl before it.
            let spent = retries.iter().filter(|it| **it + 9_000 > clock).count();
            let bearing = requests.iter().filter(|it| **it + 20_000 > clock).count();
            let most = bearing * tenths as usize / 10 + per_second as usize * 10;
            prop_assert!(spent <= most, "{spent} retries, {most} were borne");
        }
    }
}

#[test]
fn racing_workers_never_take_more_than_was_put_in() {
    let budget = budget(0.2, 10);
    let taken = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..10_000 {
                    let now = at(turn / 20);
                    budget.deposit(now);
                    if budget.withdraw(now) {
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let (taken, left) = (u64::from(taken.load(Ordering::SeqCst)), budget.balance(at(500)));
    assert_eq!(taken + left, 8_000 + 100);
}
