// SPDX-License-Identifier: Apache-2.0
//! Places, and the line of those who wait for them.

use super::*;
use futures_util::FutureExt as _;
use std::sync::mpsc::{Sender, channel};
use std::task::Wake;
use std::thread;
use std::time::Duration;

fn gate(limit: u32) -> Arc<Gate> {
    Arc::new(Gate::new(Some(limit)))
}

#[test]
fn a_full_gate_refuses_until_a_permit_is_dropped() {
    let gate = gate(2);
    let first = gate.try_enter();
    let second = gate.try_enter();
    assert!(first.is_some() && second.is_some() && gate.try_enter().is_none());
    drop(first);
    assert!(gate.try_enter().is_some());
    assert_eq!(gate.inside(), 1);
}

#[test]
fn a_gate_without_limit_counts_and_one_of_zero_refuses_all() {
    let gate = Arc::new(Gate::new(None));
    let permits: Vec<_> = (0..10_000).filter_map(|_| gate.try_enter()).collect();
    assert_eq!((permits.len(), gate.inside()), (10_000, 10_000));
    assert!(Arc::new(Gate::new(Some(0))).try_enter().is_none());
}

#[test]
fn places_are_given_in_the_order_of_coming_and_nobody_overtakes() {
    let gate = gate(1);
    let held = gate.try_enter();
    let (mut first, mut second) = (gate.enter(), gate.enter());
    assert!((&mut second).now_or_never().is_none() && (&mut first).now_or_never().is_none());
    drop(held);
    // The place is the first one's already, though it has not looked yet.
    assert!(gate.try_enter().is_none() && (&mut second).now_or_never().is_none());
    let given = (&mut first).now_or_never().expect("its turn");
    assert!(gate.is_awaited());
    drop(given);
    assert!((&mut second).now_or_never().is_some() && !gate.is_awaited());
    assert_eq!(gate.inside(), 0);
}

#[test]
fn who_gives_up_passes_the_place_on() {
    let gate = gate(1);
    let held = gate.try_enter();
    let (first, second, mut third) = (gate.enter(), gate.enter(), gate.enter());
    drop(second);
    drop(held);
    // Given, and not taken.
    drop(first);
    let last = (&mut third).now_or_never().expect("its turn");
    assert!(!gate.is_awaited() && gate.inside() == 1);
    drop(last);
    assert_eq!(gate.inside(), 0);
}

/// Waits on a thread: a wake-up that is lost fails the test.
fn wait(mut enter: Enter) -> Permit {
    struct Tell(Sender<()>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            // Nobody listens any more once the wait is over.
            let _ = self.0.send(());
        }
    }
    let (sender, woken) = channel();
    let waker = Waker::from(Arc::new(Tell(sender)));
    loop {
        if let Poll::Ready(permit) = Pin::new(&mut enter).poll(&mut Context::from_waker(&waker)) {
            return permit;
        }
        woken.recv_timeout(Duration::from_secs(20)).expect("its turn comes");
    }
}

#[test]
fn never_more_than_the_limit_are_inside_and_no_wakeup_is_lost_under_concurrency() {
    for limit in [1, 3] {
        let gate = gate(limit);
        let occupied = AtomicU32::new(0);
        thread::scope(|scope| {
            for number in 0..8_u32 {
                let (gate, occupied) = (&gate, &occupied);
                scope.spawn(move || {
                    for turn in 0..4_000_u32 {
                        let permit = match (number + turn) % 4 {
                            0 => gate.try_enter(),
                            // Gives up at any moment.
                            1 => gate.enter().now_or_never(),
                            _ => Some(wait(gate.enter())),
                        };
                        if let Some(permit) = permit {
                            assert!(occupied.fetch_add(1, Ordering::SeqCst) < limit);
                            occupied.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!(gate.inside() == 0 && !gate.is_awaited());
        let line = gate.line();
        assert!(line.waiting.is_empty() && line.given.is_empty());
    }
}
