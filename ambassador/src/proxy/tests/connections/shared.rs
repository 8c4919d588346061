// SPDX-License-Identifier: Apache-2.0
//! What a later flow may take over, and what never.

use std::time::Duration;

use tokio::{net::TcpListener, time::Instant};

use super::{
    super::{Drain, Expect, ExpectEnd, Origin, Send, Step, connect},
    GET, OK, POST, once, reused,
};
use crate::{
    message::flow::FlowId,
    upstream::{
        connection::{Connection, Key},
        pool,
    },
};

#[tokio::test]
async fn a_later_flow_takes_over_for_what_can_be_repeated_only() {
    let origin =
        Origin::play(&[&[Expect(GET), Send(OK), Expect(GET), Send(OK)], &[Expect(POST), Send(OK)]]).await;
    assert!(!reused(&once(origin.addr, GET).await.expect("first")));
    assert!(!reused(&once(origin.addr, POST).await.expect("a POST dials")));
    assert_eq!(pool::shared_idle(), 2);
    origin.played.abort();
    let origin = Origin::play(&[&[Expect(GET), Send(OK), Expect(GET), Send(OK)]]).await;
    assert!(!reused(&once(origin.addr, GET).await.expect("first")));
    assert!(reused(&once(origin.addr, GET).await.expect("a GET takes it over")));
    origin.done().await;
}

#[tokio::test]
async fn another_network_namespace_never_takes_over() {
    let origin = Origin::play(&[&[Expect(GET), Send(OK), Drain]]).await;
    once(origin.addr, GET).await.expect("first");
    let key = Key { netns_cookie: 2, destination: origin.addr };
    assert!(pool::take_shared(FlowId(0), key, |_| true).is_none());
}

#[tokio::test]
async fn what_is_bound_to_its_connection_is_not_shared() {
    for (request, reply) in [
        (GET, &b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"[..]),
        (
            GET,
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=a, Negotiate\r\nContent-Length: 0\r\n\r\n",
        ),
        (b"GET / HTTP/1.1\r\nAuthorization: NTLM TlRM\r\n\r\n", OK),
        (b"GET / HTTP/1.1\r\nAuthorization: NTLM\tTlRM\r\n\r\n", OK),
        (b"GET / HTTP/1.1\n\n", OK),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", OK),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", OK),
        (GET, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let script: &'static [Step] = Box::leak(Box::new([Expect(request), Send(reply), ExpectEnd]));
        let origin = Origin::play(Box::leak(Box::new([script]))).await;
        once(origin.addr, request).await.expect("reply");
        assert_eq!(pool::shared_idle(), 0, "{}", reply.escape_ascii());
        origin.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_announced_limit_is_kept_a_second_early() {
    const BRIEF: &[u8] = b"HTTP/1.1 200 OK\r\nKeep-Alive: max=9, timeout=5\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::play(&[&[Expect(GET), Send(BRIEF), ExpectEnd]]).await;
    once(origin.addr, GET).await.expect("reply");
    tokio::time::advance(Duration::from_millis(1900)).await;
    assert_eq!(pool::shared_idle(), 1);
    // The sweep closes it, without anybody asking.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(pool::shared_idle(), 0);
    origin.done().await;
}

#[tokio::test]
async fn the_shared_pool_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let mut origins = Vec::new();
    for _ in 0..80 {
        let stream = connect(addr).await;
        origins.push(listener.accept().await.expect("accept"));
        let key = Key { netns_cookie: 1, destination: addr };
        let idle = Connection::new(stream, key, FlowId(u64::MAX), Some(Duration::from_secs(9)), Vec::new());
        pool::give_back(idle, Instant::now());
    }
    assert_eq!(pool::shared_idle(), 64);
}
