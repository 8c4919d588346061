// SPDX-License-Identifier: Apache-2.0
//! Whose connection it is: what a flow reuses of its own.

mod shared;

use futures_util::FutureExt as _;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::*;
use crate::{
    http1::{
        head,
        wire::{AskKernel, Idle},
    },
    message::{
        Request, RequestHead, Response,
        body::{Body, BodyError},
        error::{ProxyError, Sent},
        interim::InterimSink,
    },
    policy::bulkhead::Gate,
    upstream::{
        connection::Key,
        pool::{self, FlowConnections},
    },
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An exchange by a route with a `connectionPool`.
async fn exchange(flow: &Arc<Flow>, request: &[u8]) -> Result<Box<Response>, ProxyError> {
    exchange_keeping(flow, request, Some(Duration::from_secs(90))).await
}

async fn exchange_keeping(
    flow: &Arc<Flow>,
    request: &[u8],
    keep_idle: Option<Duration>,
) -> Result<Box<Response>, ProxyError> {
    let head = head::RequestHead::parse(request).expect("well-formed").expect("whole");
    let mut request =
        Request::new(RequestHead::Http1(Arc::new(head)), Body::empty(), flow.clone(), InterimSink::none());
    request.keep_idle = keep_idle;
    within(stack().ready().await.expect("ready").call(request)).await
}

async fn flow_to(origin: SocketAddr) -> (Arc<Flow>, FlowConnections) {
    let (_, flow) = accepted(origin).await;
    let connections = FlowConnections::open(&flow, None);
    (flow, connections)
}

/// One exchange of a flow of its own, which then ends.
async fn once(origin: SocketAddr, request: &[u8]) -> Result<Box<Response>, ProxyError> {
    let (flow, _connections) = flow_to(origin).await;
    exchange(&flow, request).await
}

fn reused(response: &Response) -> bool {
    response.attempt.expect("an attempt").reused
}

#[tokio::test]
async fn a_flow_keeps_its_connection() {
    let origin = Origin::play(&[&[Expect(GET), Send(OK), Expect(POST), Send(OK), ExpectEnd]]).await;
    let (flow, connections) = flow_to(origin.addr).await;
    let first = exchange(&flow, GET).await.expect("first");
    assert!(!reused(&first) && first.attempt.expect("attempt").connect.is_some());
    assert!(reused(&exchange(&flow, POST).await.expect("second")));
    assert_eq!(pool::shared_idle(), 0);
    drop(connections);
    assert_eq!(pool::shared_idle(), 1);
    drop(pool::take_shared(flow.id, Key { netns_cookie: 1, destination: origin.addr }, |_| true));
    origin.done().await;
}

#[tokio::test]
async fn without_a_connection_pool_a_connection_lives_as_long_as_its_flow_and_no_longer() {
    const BRIEF: &[u8] = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::play(&[&[Expect(GET), Send(BRIEF), Expect(POST), Send(OK), ExpectEnd]]).await;
    let (flow, connections) = flow_to(origin.addr).await;
    exchange_keeping(&flow, GET, None).await.expect("first");
    assert!(reused(&exchange_keeping(&flow, POST, None).await.expect("second")));
    drop(connections);
    assert_eq!(pool::shared_idle(), 0);
    origin.done().await;
}

#[tokio::test]
async fn a_connection_that_its_origin_closed_is_not_taken() {
    let origin = Origin::play(&[&[Expect(GET), Send(OK)], &[Expect(GET), Send(OK)]]).await;
    let (flow, _connections) = flow_to(origin.addr).await;
    exchange(&flow, GET).await.expect("first");
    while pool::shared_idle() == 0 && !origin_has_closed(&flow, origin.addr) {
        tokio::task::yield_now().await;
    }
    assert!(!reused(&exchange(&flow, GET).await.expect("second")));
    origin.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_flow_sees_the_end_of_its_connection_though_it_was_swept_before() {
    let origin = Origin::play(&[&[Expect(GET), Send(OK)]]).await;
    let addr = origin.addr;
    let (flow, _connections) = flow_to(addr).await;
    exchange(&flow, GET).await.expect("first");
    origin.done().await;
    // Several sweeps, before the flow looks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(within(pool::own_ended(flow.id, addr)).await, Idle::Spent);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_end_http_1_0_waits_for_is_closed_by_nobody_else() {
    const OLD: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    const REPLY: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::play(&[&[Expect(OLD), Send(REPLY), Drain]]).await;
    let (flow, _connections) = flow_to(origin.addr).await;
    exchange_keeping(&flow, OLD, Some(Duration::from_secs(1))).await.expect("a reply");
    // It expires, is swept, and its place is wanted.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let key = Key { netns_cookie: 1, destination: origin.addr };
    let gate = Arc::new(Gate::new(Some(1)));
    let take = || pool::take_own(flow.id, key, Instant::now(), AskKernel::Yes);
    let mut own = take().expect("it is open");
    own.places.extend(gate.try_enter());
    let wanted = gate.enter();
    pool::give_back(own, Instant::now());
    pool::close_awaited();
    let own = take().expect("it is open still");
    drop(own);
    assert!(wanted.now_or_never().is_some(), "its own end gives the place up");
}

/// Takes the flow's connection when it is known to be closed; gives it back otherwise.
fn origin_has_closed(flow: &Flow, destination: SocketAddr) -> bool {
    let key = Key { netns_cookie: 1, destination };
    match pool::take_own(flow.id, key, Instant::now(), AskKernel::Yes) {
        Some(connection) => {
            pool::give_back(connection, Instant::now());
            false
        }
        None => true,
    }
}

#[tokio::test]
async fn a_stale_connection_is_told_truthfully() {
    // The origin closes when the second request arrives, as if its timer had run out at that moment.
    let origin = Origin::play(&[&[Expect(GET), Send(OK), Expect(b"G")]]).await;
    let (flow, _connections) = flow_to(origin.addr).await;
    exchange(&flow, GET).await.expect("first");
    match exchange(&flow, GET).await.err() {
        Some(ProxyError::Disconnected { reused: true, sent: Sent::Fully, replied: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    origin.done().await;
}

#[tokio::test]
async fn a_partial_reply_is_cut_where_it_was() {
    let origin = Origin::play(&[&[Expect(GET), Send(b"HTTP/1.1 2")]]).await;
    let mut response = once(origin.addr, GET).await.expect("what came of it");
    assert_eq!(response.status(), None);
    let came = response.body.frame().await.expect("a piece").expect("a piece").into_data().expect("bytes");
    assert_eq!(came, "HTTP/1.1 2");
    let end = response.body.frame().await.expect("an end").err();
    assert!(matches!(end, Some(BodyError::Truncated)), "{end:?}");
    origin.done().await;
}

#[tokio::test]
async fn what_comes_after_a_reply_reaches_nobody() {
    const MORE: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let origin = Origin::play(&[&[Expect(GET), Send(MORE), Drain], &[Expect(GET), Send(OK)]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, GET).await;
    expect(&mut client, OK).await;
    // What the origin has spent is spent for the program.
    expect_end(&mut client).await;
    let mut client = program(origin.addr).await;
    send(&mut client, GET).await;
    expect(&mut client, OK).await;
    origin.done().await;
}

#[tokio::test]
async fn what_comes_later_unasked_spends_the_connection() {
    let origin = Origin::play(&[
        &[Expect(GET), Send(OK), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Drain],
        &[Expect(GET), Send(OK)],
    ])
    .await;
    let (flow, _connections) = flow_to(origin.addr).await;
    exchange(&flow, GET).await.expect("first");
    while !origin_has_closed(&flow, origin.addr) {
        tokio::task::yield_now().await;
    }
    assert!(!reused(&exchange(&flow, GET).await.expect("second")));
    origin.done().await;
}

#[tokio::test]
async fn a_bound_connection_stays_with_its_flow() {
    const CHALLENGE: &[u8] = b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::play(&[&[Expect(GET), Send(CHALLENGE), Expect(POST), Send(OK), ExpectEnd]]).await;
    let (flow, connections) = flow_to(origin.addr).await;
    exchange(&flow, GET).await.expect("challenge");
    assert!(reused(&exchange(&flow, POST).await.expect("answer")));
    drop(connections);
    origin.done().await;
}

#[tokio::test]
async fn a_dropped_exchange_closes_its_connection() {
    let origin = Origin::play(&[&[Expect(GET), ExpectEnd]]).await;
    let (flow, _connections) = flow_to(origin.addr).await;
    let attempt = exchange(&flow, GET);
    assert!(tokio::time::timeout(Duration::from_millis(50), attempt).await.is_err());
    origin.done().await;
}

#[tokio::test]
async fn a_spare_is_used_before_dialling() {
    let origin = Origin::play(&[&[Expect(POST), Send(OK), Expect(POST), Send(OK)]]).await;
    let (_, flow) = accepted(origin.addr).await;
    let stream = connect(origin.addr).await;
    let _connections = FlowConnections::open(&flow, Some((origin.addr, Box::pin(async { Ok(stream) }))));
    assert!(!reused(&exchange(&flow, POST).await.expect("first")));
    assert!(reused(&exchange(&flow, POST).await.expect("second")));
    assert_eq!(origin.accepted.load(Ordering::Relaxed), 1);
    origin.done().await;
}

#[tokio::test]
async fn a_spare_that_leads_elsewhere_is_closed() {
    let elsewhere = Origin::play(&[&[ExpectEnd]]).await;
    let origin = Origin::play(&[&[Expect(GET), Send(OK)]]).await;
    let (_, flow) = accepted(origin.addr).await;
    let stream = connect(elsewhere.addr).await;
    let _connections = FlowConnections::open(&flow, Some((elsewhere.addr, Box::pin(async { Ok(stream) }))));
    exchange(&flow, GET).await.expect("reply");
    elsewhere.done().await;
    origin.done().await;
}
