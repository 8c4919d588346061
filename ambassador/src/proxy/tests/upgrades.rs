// SPDX-License-Identifier: Apache-2.0
//! Connections that stop to be HTTP, by an upgrade or a tunnel, and those whose origin does not agree to that.

use super::*;

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast";

#[tokio::test]
async fn an_upgraded_connection_is_relayed_both_ways() {
    const ASK: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const AGREE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let origin = Origin::play(&[&[Expect(ASK), Send(AGREE), Send(b"hello"), Echo]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, ASK).await;
    expect(&mut client, AGREE).await;
    expect(&mut client, b"hello").await;
    for message in [&b"one"[..], b"two\0\xff", b"GET / HTTP/1.1\r\n\r\n"] {
        send(&mut client, message).await;
        expect(&mut client, message).await;
    }
    // Half-close: what was sent before still comes back.
    send(&mut client, b"last").await;
    client.shutdown().await.expect("shutdown");
    expect(&mut client, b"last").await;
    expect_end(&mut client).await;
    origin.done().await;
}

#[tokio::test]
async fn nothing_raw_passes_before_the_origin_agrees() {
    const ASK: &[u8] = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let origin = Origin::play(&[&[
        Expect(ASK),
        Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"),
        Expect(NEXT),
        Send(LAST),
    ]])
    .await;
    let mut client = program(origin.addr).await;
    let mut ahead = ASK.to_vec();
    ahead.extend_from_slice(NEXT);
    send(&mut client, &ahead).await;
    expect(&mut client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    expect(&mut client, LAST).await;
    origin.done().await;
}

#[tokio::test]
async fn connect_opens_a_tunnel() {
    const ASK: &[u8] = b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n";
    let origin = Origin::play(&[&[Expect(ASK), Send(b"HTTP/1.1 200 Established\r\n\r\n"), Echo]]).await;
    let mut client = program(origin.addr).await;
    send(&mut client, ASK).await;
    expect(&mut client, b"HTTP/1.1 200 Established\r\n\r\n").await;
    send(&mut client, b"\x16\x03\x01").await;
    expect(&mut client, b"\x16\x03\x01").await;
    drop(client);
    origin.done().await;
}
