// SPDX-License-Identifier: Apache-2.0
//! Why a request was not tried again is said once, in its line and in a metric.

use super::*;
use crate::policy::{backoff::Backoff, budget::BudgetPolicy};
use crate::telemetry::labels::GivenUpReason::{self, *};

const POST: &str = "POST / HTTP/1.1\r\nhost: a.example\r\n\r\n";

/// What is said of a request that meets `plays` on `route`.
async fn said(route: Route, wire: &str, plays: impl IntoIterator<Item = Play>) -> Option<GivenUpReason> {
    let world = World::new(route, plays);
    if let Ok(response) = world.send(wire, "").await {
        let _ = response.body.collect().await;
    }
    let said = world.said.take();
    let counted: Vec<_> = said
        .iter()
        .filter_map(
            |event| if let Event::RetryGivenUp(given_up) = event { Some(given_up.reason) } else { None },
        )
        .collect();
    let logged = said.iter().find_map(|event| match event {
        Event::RequestFinished(request) => Some(request.given_up),
        _ => None,
    });
    let logged = logged.expect("a line");
    assert_eq!(counted, Vec::from_iter(logged), "the metric and the line say the same");
    logged
}

#[tokio::test(start_paused = true)]
async fn each_reason_is_said() {
    let retry = |retry| Route { retry, ..Route::default() };
    let failing = |count| (0..count).map(|_| Play::Status(503));
    assert_eq!(said(retry(retrying(2)), POST, failing(1)).await, Some(NotIdempotent));
    assert_eq!(said(retry(retrying(2)), GET, failing(3)).await, Some(LimitExceeded));
    let budget = BudgetPolicy { retry_ratio: 0.0, min_retries_per_second: 0, ..BudgetPolicy::default() };
    assert_eq!(
        said(retry(RetryPolicy { budget, ..retrying(2) }), GET, failing(1)).await,
        Some(BudgetExhausted)
    );
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { request: Some(Duration::from_nanos(1)), ..Timeouts::default() };
    let backoff = Backoff { base: second, max: second };
    let hurried = Route { timeouts, ..retry(RetryPolicy { backoff, ..retrying(2) }) };
    assert_eq!(said(hurried, GET, failing(1)).await, Some(DeadlineExceeded));
    let limits = BulkheadLimits { max_retries: Some(0), ..BulkheadLimits::default() };
    assert_eq!(said(Route { limits, ..retry(retrying(2)) }, GET, failing(1)).await, Some(Overflow));
    let breaker = Some(BreakerPolicy { consecutive_failures: Some(1), ..BreakerPolicy::default() });
    assert_eq!(said(Route { breaker, ..retry(retrying(2)) }, GET, failing(1)).await, Some(CircuitOpen));
    let unavailable = RetryOn::EMPTY.with(RetryCondition::Unavailable);
    let grpc = RetryPolicy { retry_on: unavailable, idempotent: true, ..retrying(2) };
    assert_eq!(said(retry(grpc), POST, [Play::Grpc("14")]).await, Some(ReplyStarted));
    assert_eq!(said(retry(retrying(2)), GET, [Play::Cut]).await, Some(ReplyStarted));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_where_nothing_was_to_be_retried() {
    let retry = || Route { retry: retrying(2), ..Route::default() };
    for status in [200, 404] {
        assert_eq!(said(retry(), GET, [Play::Status(status)]).await, None);
    }
    assert_eq!(said(retry(), GET, [Play::Status(503), Play::Status(200)]).await, None);
    assert_eq!(said(Route::default(), GET, [Play::Status(503)]).await, None);
    assert_eq!(said(Route::default(), GET, [Play::Cut]).await, None);
    let off = Route { mode: Mode::Off, ..retry() };
    assert_eq!(said(off, POST, [Play::Status(503)]).await, None);
    assert_eq!(said(Route { mode: Mode::Off, ..retry() }, GET, [Play::Cut]).await, None);
}
