// SPDX-License-Identifier: Apache-2.0
//! The stages around a mock of the upstream that plays a list of outcomes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;

use super::{
    admit::Admit, balance::Balance, bulkhead::BulkheadStage, deadline::DeadlineStage, log::Log,
    per_try::PerTry, retry::Retry, route::RouteStage, sample::Sample,
};
use crate::{
    http1::head,
    message::{
        Request, RequestHead, Response,
        body::{Body, BodyError},
        error::ProxyError,
        flow::{Flow, FlowId},
        interim::InterimSink,
        stage::Stage,
    },
    net::{
        dial::{Dialer, LocalSockets},
        orig_dst::App,
        presence,
        source::Source,
    },
    policy::{
        breaker::BreakerPolicy,
        bulkhead::BulkheadLimits,
        mode::Mode,
        retry::{RetryCondition, RetryOn, RetryPolicy},
        route::{Endpoint, Route, RouteTable, Upstream},
        timeouts::Timeouts,
    },
    telemetry::{
        Recorder, Telemetry,
        event::Event,
        labels::{ErrorType, RetryOutcome},
    },
    upstream::{endpoints::Endpoints, state::States},
};

/// A route's stages around the mock.
struct World {
    stack: Stage,
    states: Arc<States>,
    route: Arc<Route>,
    seen: Arc<Mutex<Vec<SocketAddr>>>,
    said: Recorder,
}

impl World {
    fn new(route: Route, plays: impl IntoIterator<Item = Play>) -> Self {
        let (telemetry, said) = Telemetry::recording();
        let route = Arc::new(route);
        let table = Arc::new(RouteTable { routes: vec![Arc::clone(&route)], ..RouteTable::default() });
        let states = Arc::new(States::new(telemetry.clone()));
        let endpoints = Arc::new(Endpoints::new(&table));
        let seen = Arc::default();
        let mock = Mock { plays: Mutex::new(plays.into_iter().collect()), seen: Arc::clone(&seen) };
        let stage = PerTry::layer(Balance::layer(mock, Arc::clone(&endpoints)));
        let stage = BulkheadStage::layer(Admit::layer(Retry::layer(Sample::layer(stage))));
        let stage = Log::layer(DeadlineStage::layer(stage));
        let stack = RouteStage::layer(stage, table, Arc::clone(&states), endpoints, telemetry);
        let stack = Stage::new(stack);
        Self { stack, states, route, seen, said }
    }

    async fn send(&self, wire: &str, body: &'static str) -> Result<Box<Response>, ProxyError> {
        self.stack.serve(request(wire, body)).await
    }

    fn retries(&self) -> Vec<RetryOutcome> {
        let outcome = |event| if let Event::Retried(retried) = event { Some(retried.outcome) } else { None };
        self.said.take().into_iter().filter_map(outcome).collect()
    }
}

fn request(wire: &str, body: &'static str) -> Box<Request> {
    let flow = Flow {
        id: FlowId(0),
        original_dst: DIALLED.parse().expect("an address"),
        source: Source::new(DIALLED.parse().expect("an address"), 1),
        app: App::default(),
        netns_cookie: 1,
        sockets: Arc::new(LocalSockets),
        dialer: Dialer::unmarked(),
        verdicts: None,
        ahead: crate::message::ahead::Ahead::default(),
        program: Arc::new(presence::untold()),
    };
    let head = head::RequestHead::parse(wire.as_bytes()).expect("a head").expect("whole");
    let body = Body::whole(Bytes::from_static(body.as_bytes()));
    let head = RequestHead::Http1(Arc::new(head));
    Request::new(head, body, Arc::new(flow), InterimSink::none())
}

fn retrying(attempts: u32) -> RetryPolicy {
    let retry_on = RetryOn::EMPTY.with(RetryCondition::Reset).with(RetryCondition::GatewayError);
    RetryPolicy { attempts, retry_on, ..RetryPolicy::default() }
}

mod given_up;
mod limits;
mod mock;

use mock::{Mock, Play};

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_retried_in_every_mode_and_nothing_else_in_mode_off() {
    for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
        let world = World::new(Route { mode, ..Route::default() }, [Play::Stale, Play::Status(200)]);
        assert_eq!(world.send(GET, "").await.expect("a reply").status(), Some(200), "{mode:?}");
    }
    let off = Route { mode: Mode::Off, retry: retrying(3), ..Route::default() };
    let world = World::new(off, [Play::Status(503)]);
    assert_eq!(world.send(GET, "").await.expect("a reply").status(), Some(503));
    assert_eq!(world.retries(), []);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_failed_is_avoided_and_named() {
    let endpoint = |host: &str| Endpoint { host: host.into(), port: 80 };
    let upstream = Upstream {
        name: "u".into(),
        endpoints: vec![endpoint("10.0.0.1"), endpoint("10.0.0.2")],
        ..Upstream::default()
    };
    let route = Route { upstream: Some(Arc::new(upstream)), retry: retrying(1), ..Route::default() };
    let world = World::new(route, [Play::Reset, Play::Reset]);
    let state = world.states.of(&world.route, DIALLED.parse().expect("an address"));
    // Another request takes the turn in between, so that it comes round to the endpoint that failed.
    let sent = world.send(GET, "");
    let turn = async {
        tokio::task::yield_now().await;
        state.balance.pick(2, None)
    };
    let (sent, _) = tokio::join!(sent, turn);
    assert!(sent.is_err());
    let seen = world.seen.lock().expect("no panic").clone();
    assert_ne!(seen[0], seen[1], "the other one is tried");
    let named = world.said.take().into_iter().filter_map(|event| match event {
        Event::AttemptFinished(attempt) => Some(attempt.destination.endpoint),
        Event::RequestFinished(request) => Some(request.destination.endpoint),
        _ => None,
    });
    assert_eq!(named.collect::<Vec<_>>(), [seen[0], seen[1], seen[1]]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_breaker_refuses_is_no_success() {
    let breaker = BreakerPolicy { consecutive_failures: Some(1), ..BreakerPolicy::default() };
    let route = Route { retry: retrying(1), breaker: Some(breaker.clone()), ..Route::default() };
    let world = World::new(route.clone(), [Play::Reset]);
    assert!(matches!(world.send(GET, "").await, Err(ProxyError::Disconnected { .. })));
    assert_eq!(world.retries(), [RetryOutcome::CircuitOpen]);
    // It opens while the retry waits.
    let breaker = BreakerPolicy { consecutive_failures: Some(2), ..breaker };
    let world = World::new(Route { breaker: Some(breaker), ..route }, [Play::Status(503), Play::Status(503)]);
    let post = GET.replace("GET", "POST");
    let (refused, reply) = tokio::join!(world.send(GET, ""), world.send(&post, ""));
    assert!(matches!(refused, Err(ProxyError::CircuitOpen { .. })));
    assert_eq!(reply.expect("the origin's").status(), Some(503));
    assert_eq!(world.retries(), [RetryOutcome::CircuitOpen]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_opens_the_breaker_is_passed_on() {
    let breaker = BreakerPolicy { consecutive_failures: Some(3), ..BreakerPolicy::default() };
    let route = Route { retry: retrying(5), breaker: Some(breaker), ..Route::default() };
    let world = World::new(route, [Play::Status(503), Play::Status(502), Play::Status(504)]);
    let reply = world.send(GET, "").await.expect("the origin's last reply");
    assert_eq!(reply.status(), Some(504));
    assert_eq!(&reply.body.collect().await.expect("its body").to_bytes()[..], b"x");
    assert!(matches!(world.send(GET, "").await, Err(ProxyError::CircuitOpen { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_its_place_until_the_body_ends() {
    let limits = BulkheadLimits { max_retries: Some(1), ..BulkheadLimits::default() };
    let route = Route { retry: retrying(1), limits, ..Route::default() };
    let world = World::new(route, [Play::Status(503), Play::Status(200)]);
    let state = world.states.of(&world.route, DIALLED.parse().expect("an address"));
    let reply = world.send(GET, "").await.expect("a reply");
    assert_eq!((reply.status(), state.bulkheads[0].retries.inside()), (Some(200), 1));
    drop(reply);
    assert_eq!(state.bulkheads[0].retries.inside(), 0);
}

#[tokio::test]
async fn a_grpc_status_in_the_trailers_counts_and_is_said() {
    let breaker = BreakerPolicy { consecutive_failures: Some(2), ..BreakerPolicy::default() };
    let route = Route { breaker: Some(breaker), ..Route::default() };
    let world = World::new(route, [Play::Grpc("14"), Play::Grpc("0"), Play::Grpc("14"), Play::Grpc("14")]);
    for _ in 0..4 {
        world.send(GET, "").await.expect("a reply").body.collect().await.expect("trailers");
    }
    assert!(matches!(world.send(GET, "").await, Err(ProxyError::CircuitOpen { .. })));
    let said = world.said.take().into_iter().filter_map(|event| match event {
        Event::RequestFinished(request) => request.grpc_status,
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), [14, 0, 14, 14]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_body_is_overdue_is_said_to_be() {
    let timeouts = Timeouts { request: Some(Duration::from_secs(1)), ..Timeouts::default() };
    let world = World::new(Route { timeouts, ..Route::default() }, [Play::Endless]);
    let reply = world.send(GET, "").await.expect("a reply");
    assert!(matches!(reply.body.collect().await, Err(BodyError::Overdue)));
    let said = world.said.take().into_iter().filter_map(|event| match event {
        Event::AttemptFinished(attempt) => attempt.error,
        Event::RequestFinished(request) => request.error,
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), [ErrorType::TimeoutRequest; 2]);
}

#[tokio::test]
async fn a_body_that_came_with_its_head_is_counted() {
    let world = World::new(Route::default(), [Play::Status(200)]);
    let head = "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\n";
    drop(world.send(head, "hello").await);
    let sent = world.said.take().into_iter().find_map(|event| match event {
        Event::RequestFinished(request) => Some(request.bytes_sent),
        _ => None,
    });
    assert_eq!(sent, Some(head.len() as u64 + 5));
}

const DIALLED: &str = "192.0.2.1:80";
const GET: &str = "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";
