// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 with prior knowledge, end to end: trailers, resets, refusals.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::http2::SendRequest,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::{
    proxy::http2::{Greeting, serve},
    telemetry::{Options, Telemetry, WireBytes, labels::Protocol},
};

pub(super) type Reply = Response<BoxBody<Bytes, Infallible>>;

pub(super) async fn serve_origin<S>(listener: TcpListener, service: S)
where
    S: HttpService<Incoming, ResBody = BoxBody<Bytes, Infallible>> + Clone + std::marker::Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + std::marker::Send + Sync>>,
    S::Future: std::marker::Send,
{
    while let Ok((stream, _)) = listener.accept().await {
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(served);
    }
}

async fn client_of(origin: SocketAddr) -> SendRequest<Full<Bytes>> {
    let ((client, stream), flow) = accepted(origin).await;
    tokio::spawn(serve(stream, BytesMut::new(), flow, stack(), None, WireBytes::default(), Greeting::AtOnce));
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(client)).await.expect("handshake");
    tokio::spawn(connection);
    sender
}

/// An origin that answers with `service`, and a program that speaks to it through the proxy.
async fn between<F>(service: fn(Request<Incoming>) -> F) -> SendRequest<Full<Bytes>>
where
    F: Future<Output = Result<Reply, h2::Error>> + std::marker::Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    tokio::spawn(serve_origin(listener, service_fn(service)));
    client_of(addr).await
}

pub(super) fn call(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("http://pay.example:81/a.B/C?x")
        .header("te", "trailers")
        .header("x-a", "1")
        .header("x-a", "2")
        .body(Full::from(body))
        .expect("request")
}

#[tokio::test]
async fn a_unary_call_passes_with_its_trailers() {
    let mut program = between(|request| async move {
        assert_eq!(request.uri(), "http://pay.example:81/a.B/C?x");
        assert_eq!(request.headers().get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        let mut names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        names.sort();
        // The program's own library sent the length.
        assert_eq!(names, ["content-length", "te", "x-a"]);
        let body = request.into_body().collect().await.expect("body").to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
        Ok(Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))))
    })
    .await;
    for body in ["first", "second"] {
        let reply = within(program.send_request(call(body))).await.expect("reply");
        assert!(reply.headers().is_empty(), "nothing is added: {:?}", reply.headers());
        let reply = reply.into_body().collect().await.expect("body");
        assert_eq!(reply.trailers().expect("trailers")["grpc-status"], "0");
        assert_eq!(reply.to_bytes(), body);
    }
}

#[tokio::test]
async fn streams_share_one_connection() {
    let mut program = between(|_| async { Ok(Response::new(Empty::new().boxed())) }).await;
    let all = (0..20).map(|_| program.send_request(call("x"))).collect::<Vec<_>>();
    for reply in within(futures_util::future::join_all(all)).await {
        assert_eq!(reply.expect("reply").status(), 200);
    }
}

#[tokio::test]
async fn a_reset_stream_is_reset_with_the_same_reason() {
    for reason in [h2::Reason::REFUSED_STREAM, h2::Reason::ENHANCE_YOUR_CALM, h2::Reason::CANCEL] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let addr = listener.local_addr().expect("address");
        let service = service_fn(move |_| async move { Err::<Reply, _>(h2::Error::from(reason)) });
        tokio::spawn(serve_origin(listener, service));
        let mut program = client_of(addr).await;
        let error = within(program.send_request(call("x"))).await.expect_err("reset");
        assert_eq!(reason_of(&error), Some(reason));
    }
}

#[tokio::test]
async fn a_refused_dial_ends_the_whole_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let closed = listener.local_addr().expect("address");
    drop(listener);
    let mut program = client_of(closed).await;
    assert!(within(program.send_request(call("x"))).await.is_err());
    assert!(program.is_closed());
}

/// Frames and compressed heads are bytes of the connection, too: the metric counts what its ends do.
#[tokio::test]
async fn the_bytes_of_the_connection_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let ((mut client, stream), flow) = accepted(listener.local_addr().expect("address")).await;
    let empty = |_| async { Ok::<_, h2::Error>(Response::new(Empty::new().boxed())) };
    tokio::spawn(serve_origin(listener, service_fn(empty)));
    let (telemetry, _guard) = Telemetry::new(Options::default()).expect("telemetry");
    // Detection has read the first bytes.
    let mut prefix = BytesMut::zeroed(PREFACE.len());
    let (program, mut wire) = tokio::io::duplex(1 << 16);
    let relay = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut wire, &mut client).await });
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(program)).await.expect("handshake");
    tokio::spawn(connection);
    let mut stream = stream;
    stream.read_exact(&mut prefix).await.expect("a preface");
    let bytes = telemetry.wire_bytes(Protocol::Http2);
    let served = tokio::spawn(serve(stream, prefix, flow, stack(), None, bytes, Greeting::AtOnce));

    assert_eq!(within(sender.send_request(call("x"))).await.expect("reply").status(), 200);
    drop(sender);
    let (sent, received) = within(relay).await.expect("relay").expect("both ends");
    within(served).await.expect("the flow");
    let page = telemetry.metrics_page().expect("a page");
    for (direction, count) in [("sent", sent), ("received", received)] {
        let line =
            format!("ambassador_tcp_bytes_total{{direction=\"{direction}\",protocol=\"http2\"}} {count}\n");
        assert!(page.contains(&line), "wanted {line}{page}");
    }
}

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn reason_of(error: &hyper::Error) -> Option<h2::Reason> {
    std::error::Error::source(error)?.downcast_ref::<h2::Error>()?.reason()
}
