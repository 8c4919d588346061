// SPDX-License-Identifier: Apache-2.0
//! Bytes behind a whole request that can begin no other one.

use super::{
    whole::{by, through},
    *,
};
use crate::policy::route::Route;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BEHIND: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01\x02";

/// A program that has had one reply of `origin` and then sends a request with bytes behind it.
async fn second_request(origin: &Origin) -> TcpStream {
    let (mut program, _) = through(by(Route::default()), origin.addr).await;
    send(&mut program, GET).await;
    expect(&mut program, OK).await;
    send(&mut program, BEHIND).await;
    program
}

#[tokio::test]
async fn a_request_on_a_stale_connection_is_repeated_with_what_is_behind_it() {
    // The origin closes when the second request arrives, as if its timer had run out at that moment.
    let origin =
        Origin::play(&[&[Expect(GET), Send(OK), Expect(b"G")], &[Expect(BEHIND), Send(b"any bytes")]]).await;
    let mut program = second_request(&origin).await;
    expect(&mut program, b"any bytes").await;
    expect_end(&mut program).await;
    origin.done().await;
}

#[tokio::test]
async fn nothing_is_repeated_once_what_is_behind_it_is_out() {
    let origin = Origin::play(&[&[Expect(GET), Send(OK), Expect(BEHIND), Reset]]).await;
    let mut program = second_request(&origin).await;
    expect_reset(&mut program).await;
    assert_eq!(origin.accepted.load(Ordering::Relaxed), 1);
    origin.done().await;
}

#[tokio::test]
async fn an_origin_that_answers_first_gets_what_is_behind_with_its_reply() {
    const MORE: &[u8] = b"\x00\x01\x02";
    let origin =
        Origin::play(&[&[Expect(GET), Send(OK), Expect(GET), Send(OK), Expect(MORE), Send(b"any bytes")]])
            .await;
    let mut program = second_request(&origin).await;
    expect(&mut program, OK).await;
    expect(&mut program, b"any bytes").await;
    expect_end(&mut program).await;
    origin.done().await;
}
