// SPDX-License-Identifier: Apache-2.0
//! Limits of time and number.

use std::time::Duration;

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
