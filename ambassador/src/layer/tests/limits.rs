// SPDX-License-Identifier: Apache-2.0
//! Limits of time and number.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::policy::{breaker::State, timeouts::Timeouts};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn limited(limits: BulkheadLimits) -> Route {
    Route { limits, ..Route::default() }
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_at_once_until_a_body_ends() {
    let limits = BulkheadLimits { max_requests: Some(1), ..BulkheadLimits::default() };
    let world = World::new(limited(limits), [Play::Status(200), Play::Status(200)]);
    let first = world.send(GET, "").await.expect("a reply");
    let refused = world.send(GET, "").await.err();
    assert!(matches!(refused, Some(ProxyError::Overflow { limit: "maxRequests" })));
    drop(first);
    assert_eq!(world.send(GET, "").await.expect("a reply").status(), Some(200));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_place_as_long_as_it_may() {
    let limits = BulkheadLimits {
        max_requests: Some(1),
        max_pending_requests: Some(1),
        max_wait: Some(seconds(2)),
        ..BulkheadLimits::default()
    };
    let world = World::new(limited(limits), [Play::Status(200), Play::Status(204)]);
    let first = world.send(GET, "").await.expect("a reply");
    let started = Instant::now();
    let release = async {
        tokio::time::sleep(seconds(1)).await;
        let too_many = world.send(GET, "").await.err();
        assert!(matches!(too_many, Some(ProxyError::Overflow { limit: "maxPendingRequests" })));
        drop(first);
    };
    let (second, ()) = tokio::join!(world.send(GET, ""), release);
    let second = second.expect("a place came free");
    assert_eq!((second.status(), started.elapsed()), (Some(204), seconds(1)));
    let waited = world.send(GET, "").await.err();
    assert!(matches!(waited, Some(ProxyError::Overflow { limit: "maxRequests" })));
    assert_eq!(started.elapsed(), seconds(3));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_in_time_and_another_follows_until_the_whole_time_is_over() {
    let timeouts =
        Timeouts { per_try: Some(seconds(2)), request: Some(seconds(3)), ..Timeouts::configured() };
    let backoff = crate::policy::backoff::Backoff { base: Duration::ZERO, max: Duration::ZERO };
    let route = || Route {
        timeouts: timeouts.clone(),
        retry: RetryPolicy { backoff: backoff.clone(), ..retrying(5) },
        ..Route::default()
    };
    let world = World::new(route(), [Play::Silence, Play::Status(200)]);
    let started = Instant::now();
    assert_eq!(world.send(GET, "").await.expect("the second").status(), Some(200));
    assert_eq!(started.elapsed(), seconds(2));
    let world = World::new(route(), [Play::Silence, Play::Silence]);
    let started = Instant::now();
    assert!(matches!(world.send(GET, "").await.err(), Some(ProxyError::RequestTimeout(_))));
    assert_eq!(started.elapsed(), seconds(3));
}

#[tokio::test(start_paused = true)]
async fn a_probe_counts_when_its_reply_begins() {
    let breaker = BreakerPolicy { consecutive_failures: Some(1), ..BreakerPolicy::default() };
    let wait = breaker.wait_duration_in_open_state;
    let route = Route { breaker: Some(breaker), ..Route::default() };
    let world = World::new(route, [Play::Status(503), Play::Status(200), Play::Status(200)]);
    let state = world.states.of(&world.route, DIALLED.parse().expect("an address"));
    drop(world.send(GET, "").await);
    assert_eq!(state.breakers[0].state(), State::Open);
    tokio::time::sleep(wait).await;
    let stream = world.send(GET, "").await.expect("the probe");
    assert_eq!(state.breakers[0].state(), State::Closed, "though the body of its reply has not ended");
    assert_eq!(world.send(GET, "").await.expect("a reply").status(), Some(200));
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_an_earlier_request_left_rings_at_the_end_of_this_one() {
    for left in [1, 9] {
        let timeouts = Timeouts { request: Some(seconds(3)), ..Timeouts::configured() };
        let world = World::new(Route { timeouts, ..Route::default() }, [Play::Silence]);
        let started = Instant::now();
        let mut request = request(GET, "");
        request.timer = Some(Box::pin(tokio::time::sleep(seconds(left))));
        let ended = world.stack.serve(request).await.err();
        assert!(matches!(ended, Some(ProxyError::RequestTimeout(limit)) if limit == seconds(3)));
        assert_eq!(started.elapsed(), seconds(3), "it was set to {left} s");
    }
}

proptest! {
    /// Whatever the limits are, nothing outlives them, and every attempt is measured to its end.
    #[test]
    fn no_attempt_outlives_its_limit_or_the_whole_time(
        per_try in proptest::option::of(1_u64..3_000),
        request in 1_u64..3_000,
        backoff in 0_u64..500,
        attempts in 0_u32..5,
        nanos in 0_u64..1_000_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let (per_try, request) = (per_try.map(Duration::from_millis), Duration::from_millis(request));
            let timeouts = Timeouts { per_try, request: Some(request), ..Timeouts::configured() };
            let delay = Duration::from_millis(backoff);
            let backoff = crate::policy::backoff::Backoff { base: delay, max: delay };
            let route = Route {
                timeouts,
                retry: RetryPolicy { backoff, ..retrying(attempts) },
                ..Route::default()
            };
            let silence = (0..=attempts).map(|_| Play::Silence);
            let world = World::new(route, silence);
            // Timers ring at whole milliseconds, requests arrive in between.
            tokio::time::advance(Duration::from_nanos(nanos)).await;
            let started = Instant::now();
            let ended = world.send(GET, "").await.err();
            let whole = started.elapsed();
            assert!(whole <= request + TICK, "{whole:?}");
            let said = world.said.take();
            let tries: Vec<_> = said.iter().filter_map(|event| match event {
                Event::AttemptFinished(attempt) => Some((attempt.duration, attempt.error)),
                _ => None,
            }).collect();
            assert_eq!(tries.len(), world.seen.lock().expect("no panic").len(), "each attempt is measured");
            for (duration, _) in &tries {
                assert!(*duration <= per_try.unwrap_or(request).min(request) + TICK, "{duration:?}");
            }
            let last = match ended {
                Some(ProxyError::RequestTimeout(_)) => ErrorType::TimeoutRequest,
                Some(ProxyError::PerTryTimeout { .. }) => ErrorType::TimeoutPerTry,
                other => panic!("{other:?}"),
            };
            assert_eq!(tries.last().expect("an attempt").1, Some(last), "{tries:?}");
        });
    }
}

/// Timers ring at the end of the millisecond in which they are due.
const TICK: Duration = Duration::from_millis(1);
