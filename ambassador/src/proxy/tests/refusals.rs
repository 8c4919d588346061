// SPDX-License-Identifier: Apache-2.0
//! What two parsers could read differently is refused before a byte goes out.

use super::*;

/// The request is answered with `status` by ambassador, and the origin is not even dialled.
async fn refused(request: &[u8], status: &str) {
    let origin = Origin::play(&[&[]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, request).await;
    let mut reply = String::new();
    client.shutdown().await.expect("shutdown");
    within(client.read_to_string(&mut reply)).await.expect("reply");
    assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{}: {reply}", request.escape_ascii());
    assert!(reply.contains("x-ambassador-error: malformed\r\n"), "{reply}");
    assert_eq!(origin.accepted.load(Ordering::Relaxed), 0, "{}", request.escape_ascii());
}

#[tokio::test]
async fn ambiguous_heads_are_refused() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 5 5",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: cow",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
        "Host: b",
        "X: a\r\n Transfer-Encoding: chunked",
        "X: a\r\n\tfolded",
        "X: a\rContent-Length: 5",
        "X: a\0b",
        "X\0: a",
        ": no name",
        "no colon",
    ] {
        refused(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n").as_bytes(), "400").await;
    }
    refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400").await;
    refused(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "400").await;
    refused(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", "400").await;
}

#[tokio::test]
async fn request_lines_that_are_none_are_refused() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / a HTTP/1.1",
        "G\tT / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET / http/1.1",
    ] {
        refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), "400").await;
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    refused(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)).as_bytes(), "414").await;
    refused(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(70_000)).as_bytes(), "431").await;
    refused(format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(129)).as_bytes(), "431").await;
    refused(format!("GET / HTTP/1.1\r\n{}", "X: aaaaaaaaaaa\r\n".repeat(9000)).as_bytes(), "431").await;
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_passes_as_it_is() {
    for reply in [
        &b"SSH-2.0-x\r\n\r\n"[..],
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        INTERIMS.as_flattened(),
    ] {
        // What follows is not read either: it belongs to whatever the two ends speak.
        let script: &'static [Step] = Box::leak(Box::new([
            Expect(b"GET / HTTP/1.1\r\n\r\n"),
            Send(Box::leak(reply.into())),
            Expect(b"GET /2"),
            Send(b"two"),
        ]));
        let origin = Origin::play(Box::leak(Box::new([script]))).await;
        let mut client = program(origin.addr).await;
        send(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
        expect(&mut client, reply).await;
        send(&mut client, b"GET /2").await;
        expect(&mut client, b"two").await;
        expect_end(&mut client).await;
        drop(client);
        origin.done().await;
    }
}

const INTERIMS: &[[u8; 25]] = &[*b"HTTP/1.1 100 Continue\r\n\r\n"; 100];
