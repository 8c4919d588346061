// SPDX-License-Identifier: Apache-2.0
//! Connections from their first bytes on, by a table of routes: everything but the kernel.

use std::{io, os::fd::BorrowedFd};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};

use super::*;
use crate::{
    kernel::Ticket,
    net::orig_dst::{OrigDstSource, Origin as Dialled},
    policy::{
        bulkhead::BulkheadLimits,
        matcher::Match,
        mode::Mode,
        retry::{RetryCondition, RetryOn, RetryPolicy},
        route::{Route, RouteTable},
        timeouts::Timeouts,
    },
    proxy::{connection, context::Context},
    telemetry::{
        Recorder, Telemetry,
        event::Event,
        labels::{Enforcement, ErrorType, GivenUpReason, RejectReason},
    },
};

/// Every connection was going to one address.
struct Fixed(SocketAddr);

impl OrigDstSource for Fixed {
    fn origin(&self, _: BorrowedFd<'_>) -> io::Result<Option<Dialled>> {
        let app = App::default();
        Ok(Some(Dialled {
            dst: self.0,
            app,
            netns_cookie: 1,
            ticket: Ticket { socket_cookie: 1, isn: 0 },
            bound: false,
            announced: false,
        }))
    }
}

/// A program's connection to `dst` by `table`, and what is said of it.
pub(super) async fn through(table: RouteTable, dst: SocketAddr) -> (TcpStream, Recorder) {
    let (telemetry, said) = Telemetry::recording();
    let context = Arc::new(Context::new(table, Arc::new(Fixed(dst)), Dialer::unmarked(), None, telemetry));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let program = connect(address).await;
    let (stream, peer) = listener.accept().await.expect("accept");
    tokio::spawn(connection::serve(stream, peer, address, Arc::new(LocalSockets), context));
    (program, said)
}

pub(super) fn by(route: Route) -> RouteTable {
    RouteTable { default_route: Arc::new(route), ..RouteTable::default() }
}

#[tokio::test]
async fn mode_shadow_says_what_would_refuse_an_opaque_flow() {
    let limits = BulkheadLimits { max_connections: Some(0), ..BulkheadLimits::default() };
    let full = by(Route { mode: Mode::Shadow, limits, ..Route::default() });
    let denied = RouteTable {
        deny_unmatched: true,
        ..by(Route { mode: Mode::Shadow, transparent: false, ..Route::default() })
    };
    for (table, want) in [(full, RejectReason::Overflow), (denied, RejectReason::Denied)] {
        let origin = Origin::play(&[&[Send(b"hello"), Drain]]).await;
        let (mut program, said) = through(table, origin.addr).await;
        expect(&mut program, b"hello").await;
        let rejected = said.take().into_iter().find_map(|event| match event {
            Event::Rejected(rejected) => Some((rejected.reason, rejected.enforcement)),
            _ => None,
        });
        assert_eq!(rejected, Some((want, Enforcement::Shadow)));
    }
}

#[tokio::test]
async fn why_a_dial_is_not_repeated_is_said_of_an_opaque_flow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let closed = listener.local_addr().expect("address");
    drop(listener);
    let retry = RetryPolicy {
        attempts: 2,
        retry_on: RetryOn::EMPTY.with(RetryCondition::ConnectFailure),
        ..RetryPolicy::default()
    };
    let (mut program, said) =
        through(by(Route { retry, transparent: false, ..Route::default() }), closed).await;
    expect_reset(&mut program).await;
    let told = async {
        loop {
            let finished = said.take().into_iter().find_map(|event| match event {
                Event::FlowFinished(flow) => Some((flow.attempts, flow.given_up, flow.error)),
                _ => None,
            });
            match finished {
                Some(finished) => break finished,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let refused = Some(ErrorType::ConnectRefused);
    assert_eq!(within(told).await, (3, Some(GivenUpReason::LimitExceeded), refused));
}

#[tokio::test]
async fn what_only_a_name_could_allow_is_not_dialled_before_it_is_claimed() {
    for (host, want) in [("other.example", &b"HTTP/1.1 403 "[..]), ("a.example", b"HTTP/1.1 204 ")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let origin = listener.local_addr().expect("address");
        let hosts = vec!["a.example".parse().expect("a pattern")];
        let matcher = Match { hosts, ..Match::default() };
        let route = Arc::new(Route { name: "a".into(), matcher, ..Route::default() });
        let table = RouteTable { routes: vec![route], deny_unmatched: true, ..RouteTable::default() };
        let (mut program, _) = through(table, origin).await;
        // Time enough for a dial that should not be, and for a program that opens connections ahead.
        assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err(), "{host}");
        send(&mut program, format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await;
        let origin = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("write");
            expect(&mut stream, b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
        });
        expect(&mut program, want).await;
        origin.abort();
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_while_its_body_still_comes() {
    let (more, pieces) = tokio::sync::mpsc::channel::<&'static [u8]>(2);
    more.try_send(b"a ").expect("room");
    let more = Arc::new(std::sync::Mutex::new(Some(more)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let origin = listener.local_addr().expect("address");
    let refused = Arc::new(AtomicUsize::new(0));
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let first = refused.fetch_add(1, Ordering::Relaxed) == 0;
        let more = if first { None } else { more.lock().expect("no panic").take() };
        async move {
            if first {
                return Err(h2::Error::from(h2::Reason::REFUSED_STREAM));
            }
            more.expect("one retry").try_send(b"body").expect("room");
            let body = request.into_body().collect().await.expect("body").to_bytes();
            Ok::<http2::Reply, _>(http::Response::new(BodyExt::boxed(Full::from(body))))
        }
    });
    tokio::spawn(http2::serve_origin(listener, service));
    let retry_on = RetryOn::EMPTY.with(RetryCondition::RefusedStream);
    let retry = RetryPolicy { attempts: 1, retry_on, ..RetryPolicy::default() };
    let table = by(Route { retry, transparent: false, ..Route::default() });
    let (program, _) = through(table, origin).await;
    let builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let io = hyper_util::rt::TokioIo::new(program);
    let (mut program, connection) = builder.handshake(io).await.expect("handshake");
    tokio::spawn(connection);
    let body = futures_util::stream::unfold(pieces, |mut pieces| async {
        let frame = Frame::data(Bytes::from_static(pieces.recv().await?));
        Some((Ok::<_, std::convert::Infallible>(frame), pieces))
    });
    let request = http2::call("").map(|_| StreamBody::new(Box::pin(body)));
    let reply = within(program.send_request(request)).await.expect("reply");
    assert_eq!(reply.status(), 200);
    assert_eq!(within(reply.into_body().collect()).await.expect("body").to_bytes(), "a body");
}

#[tokio::test]
async fn the_time_of_a_request_ends_also_for_a_program_that_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let origin = listener.local_addr().expect("address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.expect("head");
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    });
    let timeouts = Timeouts { request: Some(Duration::from_millis(300)), ..Timeouts::default() };
    let table = by(Route { timeouts, transparent: false, ..Route::default() });
    let (mut program, said) = through(table, origin).await;
    send(&mut program, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let finished = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let error = said.take().into_iter().find_map(|event| match event {
                Event::RequestFinished(request) => Some(request.error),
                _ => None,
            });
            if let Some(error) = error {
                return error;
            }
        }
    };
    assert_eq!(within(finished).await, Some(ErrorType::TimeoutRequest));
}

#[tokio::test]
async fn connections_to_an_upstream_are_bounded_and_idle_ones_make_room() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let limits = BulkheadLimits { max_connections: Some(1), ..BulkheadLimits::default() };
    let route = Route { limits, transparent: false, ..Route::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let dst = listener.local_addr().expect("address");
    let (telemetry, _) = Telemetry::recording();
    let context =
        Arc::new(Context::new(by(route), Arc::new(Fixed(dst)), Dialer::unmarked(), None, telemetry));
    let mut programs = Vec::new();
    for _ in 0..2 {
        let accept = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = accept.local_addr().expect("address");
        let program = connect(address).await;
        let (stream, peer) = accept.accept().await.expect("accept");
        tokio::spawn(connection::serve(stream, peer, address, Arc::new(LocalSockets), Arc::clone(&context)));
        programs.push(program);
    }
    let [first, second] = &mut programs[..] else { panic!("two programs") };
    send(first, GET).await;
    let (mut origin, _) = listener.accept().await.expect("accept");
    expect(&mut origin, GET).await;
    // The only place is taken by a request under way.
    send(second, GET).await;
    expect(second, b"HTTP/1.1 503 Service Unavailable\r\n").await;
    let mut rest = [0; 1024];
    let read = second.read(&mut rest).await.expect("read");
    let rest = rest[..read].escape_ascii().to_string();
    assert!(rest.contains("x-ambassador-error: overflow") && rest.contains("maxConnections"), "{rest}");
    // An idle connection gives it up.
    send(&mut origin, OK).await;
    expect(first, OK).await;
    send(second, GET).await;
    expect_end(&mut origin).await;
}
