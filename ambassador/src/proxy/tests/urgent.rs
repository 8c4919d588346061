// SPDX-License-Identifier: Apache-2.0
//! Urgent data within HTTP: a read ends before it, which is no sign that nothing more is there.

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends `pieces` with an urgent byte between each two. The other end has all of it at once.
fn send_with_urgent(stream: &TcpStream, pieces: &[&[u8]]) {
    let socket = SockRef::from(stream);
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            assert_eq!(socket.send_out_of_band(b"!").expect("room"), 1);
        }
        assert_eq!(socket.send(piece).expect("room"), piece.len());
    }
}

/// A program and its origin, which have exchanged a request and a reply.
async fn acquainted() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut program = program(listener.local_addr().expect("address")).await;
    send(&mut program, GET).await;
    let (mut origin, _) = within(listener.accept()).await.expect("accept");
    expect(&mut origin, GET).await;
    send(&mut origin, OK).await;
    expect(&mut program, OK).await;
    (program, origin)
}

#[tokio::test]
async fn a_head_that_an_urgent_byte_divides_is_read_on() {
    let (program, mut origin) = acquainted().await;
    send_with_urgent(&program, &[&GET[..7], &GET[7..]]);
    expect(&mut origin, GET).await;
}

#[tokio::test]
async fn a_body_that_an_urgent_byte_divides_is_read_on() {
    const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\nbody";
    let (program, mut origin) = acquainted().await;
    send_with_urgent(&program, &[POST, b"body"]);
    expect(&mut origin, POST).await;
    expect(&mut origin, b"body").await;
}

#[tokio::test]
async fn a_reply_that_an_urgent_byte_divides_is_read_on() {
    let (mut program, mut origin) = acquainted().await;
    send(&mut program, GET).await;
    expect(&mut origin, GET).await;
    // Towards an origin, urgent bytes are read in their place.
    send_with_urgent(&origin, &[b"HTTP/1.1 200 O", b"K\r\nContent-Length: 0\r\n\r\n"]);
    expect(&mut program, b"HTTP/1.1 200 O!K\r\nContent-Length: 0\r\n\r\n").await;
}
