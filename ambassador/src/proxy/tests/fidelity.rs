// SPDX-License-Identifier: Apache-2.0
//! What passes is what was sent, byte for byte.

use super::*;

/// One request and its reply pass unchanged, then the connection carries another.
async fn passes(request: &'static [u8], reply: &'static [u8]) {
    let script: &'static [Step] =
        Box::leak(Box::new([Expect(request), Send(reply), Expect(NEXT), Send(LAST)]));
    let origin = Origin::play(Box::leak(Box::new([script]))).await;
    let mut client = program(origin.addr).await;
    send(&mut client, request).await;
    expect(&mut client, reply).await;
    send(&mut client, NEXT).await;
    expect(&mut client, LAST).await;
    expect_end(&mut client).await;
    origin.done().await;
}

/// The same, with the origin closing the connection after the reply.
async fn passes_once(request: &'static [u8], reply: &'static [u8]) {
    let script: &'static [Step] = Box::leak(Box::new([Expect(request), Send(reply)]));
    let origin = Origin::play(Box::leak(Box::new([script]))).await;
    let mut client = program(origin.addr).await;
    send(&mut client, request).await;
    expect(&mut client, reply).await;
    expect_end(&mut client).await;
    origin.done().await;
}

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast";

#[tokio::test]
async fn heads_keep_case_order_spacing_and_reason() {
    passes(
        b"gEt /a?b=%20#x HTTP/1.1\r\nhOsT:  Example \r\nX-A: 1\r\nCookie: a\r\nx-a: 2\r\nX-Empty:\r\nX-A:3\r\n\r\n",
        b"HTTP/1.1 299 Very  Odd \xff Reason\r\nsEt-CoOkIe: 1\r\nA: \xe9\r\nset-cookie:2\r\nCONTENT-LENGTH: 2 \r\n\r\nok",
    )
    .await;
}

#[tokio::test]
async fn odd_targets_pass() {
    passes(
        b"GET http://other.example:81/x HTTP/1.1\r\nHost: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    passes(b"OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", b"HTTP/1.1 204\r\n\r\n").await;
    passes(b"M-SEARCH /\xff\xfe HTTP/1.1\r\nHost: b\r\n\r\n", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n")
        .await;
    passes(b"\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
}

#[tokio::test]
async fn hop_by_hop_headers_pass() {
    passes(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, keep-alive, x-hop\r\nTE: trailers\r\nX-Hop: 1\r\nProxy-Connection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
}

#[tokio::test]
async fn chunks_extensions_and_trailers_pass() {
    passes(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          5;a=\"b;c\";d\r\nhello\r\n00A  \r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nx-y:2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;e\r\nabc\r\n000\r\nT: v\r\n\r\n",
    )
    .await;
}

#[tokio::test]
async fn interim_replies_pass_before_the_final_one() {
    passes(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 102 Busy\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    )
    .await;
}

#[tokio::test]
async fn replies_without_a_body_end_at_their_head() {
    passes(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await;
    passes(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    passes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n")
        .await;
    passes(b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n").await;
}

#[tokio::test]
async fn a_reply_until_close_ends_at_close() {
    passes_once(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end").await;
    passes_once(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    passes_once(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
}

#[tokio::test]
async fn http_1_0_keeps_its_connection_when_both_say_so() {
    passes(
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
}

#[tokio::test]
async fn bare_line_feeds_pass_on_a_connection_of_their_own() {
    let origin = Origin::play(&[&[
        Expect(b"GET / HTTP/1.1\nHost: a\n\n"),
        Send(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ExpectEnd,
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"GET / HTTP/1.1\nHost: a\n\n").await;
    expect(&mut client, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok").await;
    drop(client);
    origin.done().await;
}

#[tokio::test]
async fn a_head_in_single_bytes_passes() {
    let request = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let origin = Origin::play(&[&[
        Expect(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        Send(LAST),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    for byte in request {
        send(&mut client, &[*byte]).await;
        tokio::task::yield_now().await;
    }
    expect(&mut client, LAST).await;
    origin.done().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::play(&[&[
        Expect(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"),
        Expect(b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"),
        Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n"),
        Expect(NEXT),
        Send(LAST),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    let mut all =
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
            .to_vec();
    all.extend_from_slice(NEXT);
    send(&mut client, &all).await;
    expect(&mut client, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
    expect(&mut client, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n").await;
    expect(&mut client, LAST).await;
    expect_end(&mut client).await;
    origin.done().await;
}

#[tokio::test]
async fn a_request_is_pipelined_after_a_streamed_body() {
    let origin = Origin::play(&[&[
        Expect(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc"),
        Expect(b"def"),
        Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Expect(NEXT),
        Send(LAST),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut rest = b"def".to_vec();
    rest.extend_from_slice(NEXT);
    send(&mut client, &rest).await;
    expect(&mut client, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    expect(&mut client, LAST).await;
    origin.done().await;
}

#[tokio::test]
async fn an_expectation_is_met_by_the_origin() {
    let origin = Origin::play(&[&[
        Expect(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        Send(b"HTTP/1.1 100 Go  on\r\nX: y\r\n\r\n"),
        Expect(b"body"),
        Send(LAST),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    expect(&mut client, b"HTTP/1.1 100 Go  on\r\nX: y\r\n\r\n").await;
    send(&mut client, b"body").await;
    expect(&mut client, LAST).await;
    origin.done().await;
}

#[tokio::test]
async fn an_expectation_is_refused_by_the_origin() {
    const REFUSAL: &[u8] = b"HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::play(&[&[
        Expect(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        Send(REFUSAL),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    expect(&mut client, REFUSAL).await;
    expect_end(&mut client).await;
    origin.done().await;
}

#[tokio::test]
async fn an_early_reply_arrives_while_the_body_is_still_sent() {
    const EARLY: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig";
    let origin = Origin::play(&[&[
        Expect(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"),
        Send(EARLY),
        Expect(b"0123456789"),
        Expect(NEXT),
        Send(LAST),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    expect(&mut client, EARLY).await;
    send(&mut client, b"0123456789").await;
    send(&mut client, NEXT).await;
    expect(&mut client, LAST).await;
    origin.done().await;
}

#[tokio::test]
async fn pieces_of_a_stream_are_not_held_back() {
    let origin = Origin::play(&[&[
        Expect(b"GET / HTTP/1.1\r\n\r\n"),
        Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
        Send(b"data: 1\n\n"),
        ExpectEnd,
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
    expect(&mut client, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    expect(&mut client, b"data: 1\n\n").await;
    // The program leaves, which its origin sees although nothing is being sent.
    drop(client);
    origin.done().await;
}

#[tokio::test]
async fn a_program_that_ends_its_side_still_gets_its_reply() {
    let origin = Origin::play(&[&[
        Expect(b"GET / HTTP/1.0\r\n\r\n"),
        ExpectEnd,
        Send(b"HTTP/1.0 200 OK\r\n\r\nlate"),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"GET / HTTP/1.0\r\n\r\n").await;
    client.shutdown().await.expect("shutdown");
    expect(&mut client, b"HTTP/1.0 200 OK\r\n\r\nlate").await;
    expect_end(&mut client).await;
    origin.done().await;
}
