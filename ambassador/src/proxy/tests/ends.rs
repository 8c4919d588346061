// SPDX-License-Identifier: Apache-2.0
//! A connection ends for the program as the origin ended it, and the other way round.

use super::*;
use crate::net::segments;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The origin plays `script` after the request; returns the program's end after it has read `reply`.
async fn after(script: &'static [Step], reply: &[u8]) -> TcpStream {
    let mut steps = vec![Expect(GET)];
    steps.extend_from_slice(script);
    let steps: &'static [Step] = Box::leak(steps.into());
    let origin = Origin::play(Box::leak(Box::new([steps]))).await;
    let mut client = program(origin.addr).await;
    send(&mut client, GET).await;
    expect(&mut client, reply).await;
    origin.done().await;
    client
}

#[tokio::test]
async fn a_body_cut_by_the_end_of_the_stream_is_cut_for_the_program() {
    const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
    const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n";
    for reply in [SHORT, CHUNK] {
        let script: &'static [Step] = Box::leak(Box::new([Send(reply)]));
        let mut client = after(script, reply).await;
        expect_end(&mut client).await;
    }
}

#[tokio::test]
async fn a_body_cut_by_a_reset_is_reset_for_the_program() {
    const UNTIL_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nshort";
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut client = program(listener.local_addr().expect("address")).await;
    send(&mut client, GET).await;
    let (mut origin, _) = listener.accept().await.expect("accept");
    expect(&mut origin, GET).await;
    send(&mut origin, UNTIL_CLOSE).await;
    expect(&mut client, UNTIL_CLOSE).await;
    play(origin, &[Reset]).await;
    expect_reset(&mut client).await;
}

#[tokio::test]
async fn the_end_of_an_idle_origin_is_the_end_of_the_program() {
    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut client = after(&[Send(WHOLE)], WHOLE).await;
    expect_end(&mut client).await;
}

#[tokio::test]
async fn a_reply_and_the_end_after_it_arrive_in_one_segment() {
    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::play(&[&[Expect(GET), Send(LAST)]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, GET).await;
    let before = segments::received(&client);
    let mut reply = Vec::new();
    within(client.read_to_end(&mut reply)).await.expect("an orderly end");
    same(&reply, LAST);
    assert_eq!(segments::received(&client) - before, 1);
    origin.done().await;
}

#[tokio::test]
async fn a_reset_before_any_reply_is_a_reset() {
    let mut client = after(&[Reset], b"").await;
    expect_reset(&mut client).await;
}

#[tokio::test]
async fn an_orderly_end_before_any_reply_is_an_orderly_end() {
    let mut client = after(&[], b"").await;
    expect_end(&mut client).await;
}

#[tokio::test]
async fn a_refused_dial_is_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let closed = listener.local_addr().expect("address");
    drop(listener);
    let mut client = program(closed).await;
    send(&mut client, GET).await;
    expect_reset(&mut client).await;
}

#[tokio::test]
async fn a_program_that_leaves_takes_its_attempt_with_it() {
    let origin = Origin::play(&[&[Expect(GET), Drain], &[Expect(GET), Drain]]).await;
    let mut closed = program(origin.addr).await;
    send(&mut closed, GET).await;
    drop(closed);
    let mut reset = program(origin.addr).await;
    send(&mut reset, GET).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    play(reset, &[Reset]).await;
    origin.done().await;
}

#[tokio::test]
async fn a_request_body_cut_by_the_program_is_cut_for_the_origin() {
    let origin =
        Origin::play(&[&[Expect(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort"), ExpectEnd]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort").await;
    client.shutdown().await.expect("shutdown");
    origin.done().await;
}

#[tokio::test]
async fn an_early_refusal_reaches_a_program_that_is_still_sending() {
    const REFUSAL: &[u8] = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n";
    let origin = Origin::play(&[&[Expect(HEAD), Send(REFUSAL)]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, HEAD).await;
    let mut sent = 0;
    // Goes on sending for a while after the origin has closed, as programs do.
    while sent < 4_000_000 && within(client.write_all(&[b'x'; 10_000])).await.is_ok() {
        sent += 10_000;
    }
    expect(&mut client, REFUSAL).await;
    expect_end(&mut client).await;
    origin.done().await;
}
