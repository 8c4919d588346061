// SPDX-License-Identifier: Apache-2.0
//! A program's reset ends its exchange at once, also where nothing is read from the program any more.

use tokio::task::JoinHandle;

use super::{http1::server::FlowEnd, *};

/// A flow to a listener that accepts by its backlog and reads nothing, the program's end, and how the flow ends.
async fn unread_by_its_origin() -> (TcpListener, TcpStream, JoinHandle<Option<FlowEnd>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let ((program, stream), flow) = accepted(listener.local_addr().expect("address")).await;
    let end = async {
        http1::server::serve(stream, BytesMut::new(), flow, stack(), None, Unclear::Refuse, Pipelines::InTurn)
            .await
            .ok()
    };
    (listener, program, tokio::spawn(end))
}

/// Sends `bytes` again and again until nobody takes any more.
async fn fill(program: &mut TcpStream, bytes: &[u8]) {
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(200), program.write_all(bytes)).await {
        sent.expect("write");
    }
}

#[tokio::test]
async fn a_body_that_nobody_takes_does_not_hide_it() {
    let (_origin, mut program, end) = unread_by_its_origin().await;
    send(&mut program, b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n").await;
    fill(&mut program, &[b'x'; 8192]).await;
    play(program, &[Reset]).await;
    assert_eq!(within(end).await.expect("no panic"), Some(FlowEnd::ClientGone));
}

#[tokio::test]
async fn requests_sent_ahead_do_not_hide_it() {
    let (_origin, mut program, end) = unread_by_its_origin().await;
    fill(&mut program, &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000)).await;
    play(program, &[Reset]).await;
    assert_eq!(within(end).await.expect("no panic"), Some(FlowEnd::ClientGone));
}

#[tokio::test]
async fn an_end_that_came_before_does_not_hide_it() {
    let (origin, mut program, end) = unread_by_its_origin().await;
    send(&mut program, b"GET / HTTP/1.1\r\n\r\n").await;
    program.shutdown().await.expect("shutdown");
    let (mut stream, _) = origin.accept().await.expect("accept");
    expect(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await;
    expect_end(&mut stream).await;
    play(program, &[Reset]).await;
    assert_eq!(within(end).await.expect("no panic"), Some(FlowEnd::ClientGone));
    // The origin learns it in the same way.
    assert_eq!(
        stream.write_all(b"x").await.and(stream.flush().await).err().map(|error| error.kind()),
        Some(std::io::ErrorKind::BrokenPipe)
    );
}
