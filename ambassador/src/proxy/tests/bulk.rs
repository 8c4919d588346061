// SPDX-License-Identifier: Apache-2.0
//! Large bodies stream: memory stays bounded whatever their size.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::message::body::{Body, BodyEnd};

const SIZE: usize = 50 * 1000 * 1000;

#[tokio::test]
async fn fifty_megabytes_pass_both_ways_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut client = program(listener.local_addr().expect("address")).await;
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {SIZE}\r\n\r\n");
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let (expected, answer) = (head.clone(), reply.clone());
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        expect(&mut stream, expected.as_bytes()).await;
        send(&mut stream, answer.as_bytes()).await;
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.expect("echo");
    });
    send(&mut client, head.as_bytes()).await;
    expect(&mut client, reply.as_bytes()).await;
    let (mut read, mut write) = client.split();
    let upload = async {
        let piece: Vec<u8> = (0_u8..250).cycle().take(SIZE / 100).collect();
        for _ in 0..100 {
            write.write_all(&piece).await.expect("write");
        }
    };
    let download = async {
        let mut buffer = vec![0; 65536];
        let mut at = 0_usize;
        while at < SIZE {
            let count = read.read(&mut buffer).await.expect("read");
            assert!(count > 0, "cut at {at}");
            for (offset, byte) in buffer[..count].iter().enumerate() {
                assert_eq!(usize::from(*byte), (at + offset) % 250);
            }
            at += count;
        }
    };
    within(async { tokio::join!(upload, download) }).await;
    // The connection outlives its flow in the pool.
    origin.abort();
}

#[tokio::test]
async fn a_program_that_does_not_read_stops_the_origin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut client = program(listener.local_addr().expect("address")).await;
    send(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
    let (mut origin, _) = listener.accept().await.expect("accept");
    expect(&mut origin, b"GET / HTTP/1.1\r\n\r\n").await;
    send(&mut origin, b"HTTP/1.1 200 OK\r\n\r\n").await;
    assert!(write_until_stopped(&mut origin).await < SIZE);
}

#[tokio::test]
async fn an_origin_that_does_not_read_stops_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut client = program(listener.local_addr().expect("address")).await;
    send(&mut client, format!("POST / HTTP/1.1\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await;
    let _origin = listener.accept().await.expect("accept");
    assert!(write_until_stopped(&mut client).await < SIZE);
}

/// Writes until nothing is taken for a while; what was taken is what the sockets and the proxy hold.
async fn write_until_stopped(stream: &mut TcpStream) -> usize {
    let mut written = 0;
    while let Ok(count) = tokio::time::timeout(Duration::from_millis(300), stream.write(&[0; 8192])).await {
        written += count.expect("write");
        if written >= SIZE {
            break;
        }
    }
    written
}

#[tokio::test]
async fn a_hook_runs_once_when_its_body_has_ended() {
    use http_body_util::BodyExt;
    let ended = Arc::new(AtomicBool::new(false));
    let seen = ended.clone();
    let hook = Box::new(move |end: BodyEnd| {
        assert_eq!(
            end,
            BodyEnd { bytes: 3, sent: 0, status: None, clean: Ok(()), grpc_status: None, at: end.at }
        );
        assert!(!seen.swap(true, Ordering::Relaxed));
    });
    let mut body = Body::whole("abc".into());
    body.on_end(hook);
    assert!(!ended.load(Ordering::Relaxed));
    body.collect().await.expect("body");
    assert!(ended.load(Ordering::Relaxed));
}
