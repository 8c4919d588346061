// SPDX-License-Identifier: Apache-2.0
//! The relay between real sockets.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::net::{buffer::Buffer, presence, segments, urgent};

/// More than socket buffers hold.
const TOTAL: usize = 64 << 20;

/// A program and an origin, each connected to a relay in between.
struct Rig {
    program: TcpStream,
    origin: TcpStream,
    relay: tokio::task::JoinHandle<Relayed>,
}

impl Rig {
    async fn new(from_client: &'static [u8], idle: Option<Duration>) -> Self {
        let (program, client) = pair().await;
        let (upstream, origin) = pair().await;
        let relay = tokio::spawn(untold(client, upstream, Bytes::from_static(from_client), idle));
        Self { program, origin, relay }
    }
}

/// A relay for a program of which nobody tells whether it is there.
async fn untold(
    client: TcpStream,
    upstream: TcpStream,
    from_client: Bytes,
    idle: Option<Duration>,
) -> Relayed {
    relay(client, upstream, from_client, Bytes::new(), idle, &presence::untold()).await
}

#[allow(clippy::disallowed_methods, reason = "a test is a client")]
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.expect("connect"), accepted.expect("accept").0)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_a_half_close_stays_half() {
    let Rig { mut program, mut origin, relay } = Rig::new(b"first ", None).await;
    program.write_all(b"question").await.expect("write");
    program.shutdown().await.expect("half-close");
    let mut question = Vec::new();
    origin.read_to_end(&mut question).await.expect("read");
    assert_eq!(question, b"first question");
    origin.write_all(b"answer").await.expect("the other half is open");
    drop(origin);
    let mut answer = Vec::new();
    program.read_to_end(&mut answer).await.expect("read");
    assert_eq!(answer, b"answer");
    let relayed = relay.await.expect("relay");
    assert_eq!(relayed, Relayed { sent: 14, received: 6, end: RelayEnd::Closed });
}

#[tokio::test]
async fn the_last_bytes_and_the_end_arrive_in_one_segment() {
    let (mut program, client) = pair().await;
    let (upstream, mut origin) = pair().await;
    origin.write_all(b"all there is").await.expect("write");
    drop(origin);
    while !upstream.ready(Interest::READABLE).await.expect("open").is_read_closed() {}
    let before = segments::received(&program);
    let relay = tokio::spawn(untold(client, upstream, Bytes::new(), None));
    let mut answer = Vec::new();
    program.read_to_end(&mut answer).await.expect("read");
    assert_eq!(answer, b"all there is");
    assert_eq!(segments::received(&program) - before, 1);
    drop(program);
    assert_eq!(relay.await.expect("relay"), Relayed { sent: 0, received: 12, end: RelayEnd::Closed });
}

#[tokio::test]
async fn a_reset_by_the_origin_resets_the_program_after_its_last_bytes() {
    let Rig { mut program, mut origin, relay } = Rig::new(b"", None).await;
    origin.write_all(b"partial").await.expect("write");
    let mut partial = [0; 7];
    program.read_exact(&mut partial).await.expect("read");
    reset_on_close(&origin);
    drop(origin);
    let error = program.read(&mut [0; 1]).await.expect_err("a reset, never an orderly end");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(relay.await.expect("relay").end, RelayEnd::UpstreamReset);
}

#[tokio::test]
async fn a_reset_by_the_program_resets_the_origin() {
    let Rig { program, mut origin, relay } = Rig::new(b"", None).await;
    reset_on_close(&program);
    drop(program);
    let error = origin.read(&mut [0; 1]).await.expect_err("a reset, never an orderly end");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(relay.await.expect("relay").end, RelayEnd::ClientReset);
}

#[tokio::test]
async fn a_reset_that_follows_a_half_close_is_not_missed() {
    for reversed in [Way::Up, Way::Down] {
        let Rig { program, origin, relay } = Rig::new(b"", None).await;
        let (mut first, mut other) = match reversed {
            Way::Up => (program, origin),
            Way::Down => (origin, program),
        };
        first.write_all(b"last words").await.expect("write");
        first.shutdown().await.expect("half-close");
        let mut words = Vec::new();
        other.read_to_end(&mut words).await.expect("an orderly end of this half");
        assert_eq!(words, b"last words");
        reset_on_close(&first);
        drop(first);
        // The other side says nothing that could meet the reset.
        let relayed =
            tokio::time::timeout(Duration::from_secs(10), relay).await.expect("in time").expect("relay");
        let end = match reversed {
            Way::Up => RelayEnd::ClientReset,
            Way::Down => RelayEnd::UpstreamReset,
        };
        assert_eq!(relayed.end, end);
    }
}

/// Which side goes first.
enum Way {
    Up,
    Down,
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_down() {
    let Rig { mut program, mut origin, relay } = Rig::new(b"", None).await;
    let writer = tokio::spawn(async move {
        let block = vec![7; 1 << 20];
        for _ in 0..TOTAL / block.len() {
            program.write_all(&block).await.expect("write");
        }
        program.shutdown().await.expect("half-close");
        program
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        !writer.is_finished(),
        "64 MiB cannot fit into socket buffers: the writer must wait for the reader"
    );
    let mut sink = tokio::io::sink();
    let read = tokio::io::copy(&mut origin, &mut sink).await.expect("read");
    assert_eq!(read, TOTAL as u64);
    drop((writer.await.expect("writer"), origin));
    assert_eq!(relay.await.expect("relay").end, RelayEnd::Closed);
}

#[tokio::test]
async fn an_idle_flow_is_reset_and_a_busy_one_is_not() {
    let limit = Duration::from_millis(200);
    let Rig { mut program, mut origin, relay } = Rig::new(b"", Some(limit)).await;
    let started = Instant::now();
    for _ in 0..6 {
        tokio::time::sleep(limit / 4).await;
        program.write_all(b"x").await.expect("write");
        origin.read_exact(&mut [0; 1]).await.expect("a busy flow lives on");
    }
    assert!(started.elapsed() > limit);
    assert!(origin.read(&mut [0; 1]).await.is_err(), "idle: reset");
    assert_eq!(relay.await.expect("relay").end, RelayEnd::Idle);
}

#[tokio::test]
async fn a_relay_that_is_dropped_in_the_middle_resets_both() {
    let Rig { mut program, mut origin, relay } = Rig::new(b"x", None).await;
    origin.read_exact(&mut [0]).await.expect("the relay runs");
    relay.abort();
    for side in [&mut program, &mut origin] {
        let end = side.read(&mut [0; 8]).await;
        assert_eq!(end.expect_err("no orderly end").kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn an_urgent_byte_behind_a_full_buffer_stays_urgent() {
    let ((mut program, client), (upstream, mut origin)) = (pair().await, pair().await);
    for reader in [&client, &origin] {
        urgent::read_in_place(reader).expect("an option");
    }
    let mut plain = vec![b'a'; Buffer::borrow().space().len()];
    SockRef::from(&client).set_recv_buffer_size(4 * plain.len()).expect("an option");
    program.write_all(&plain).await.expect("write");
    SockRef::from(&program).send_out_of_band(b"!").expect("send");
    // All of it is there before the first read, which takes everything up to the mark.
    while client.peek(&mut plain).await.expect("peek") < plain.len() {
        tokio::task::yield_now().await;
    }
    let relay = tokio::spawn(untold(client, upstream, Bytes::new(), None));
    origin.read_exact(&mut plain).await.expect("read");
    origin.readable().await.expect("the urgent byte");
    assert!(urgent::is_next(&origin), "the mark is lost");
    drop((program, origin));
    relay.await.expect("relay");
}

#[tokio::test]
async fn an_urgent_byte_among_the_last_ones_stays_urgent() {
    for last in [&b""[..], b"cd"] {
        let ((mut program, client), (upstream, mut origin)) = (pair().await, pair().await);
        for reader in [&client, &origin] {
            urgent::read_in_place(reader).expect("an option");
        }
        program.write_all(b"ab").await.expect("write");
        SockRef::from(&program).send_out_of_band(b"!").expect("send");
        program.write_all(last).await.expect("write");
        program.shutdown().await.expect("half-close");
        origin.shutdown().await.expect("half-close");
        // Both have ended before the first read, with everything that they said before it.
        for reader in [&client, &upstream] {
            while !reader.ready(Interest::READABLE).await.expect("open").is_read_closed() {
                tokio::task::yield_now().await;
            }
        }
        let relay = tokio::spawn(untold(client, upstream, Bytes::new(), None));
        let mut begin = [0; 2];
        origin.read_exact(&mut begin).await.expect("read");
        assert_eq!(&begin, b"ab");
        origin.readable().await.expect("the urgent byte");
        assert!(urgent::is_next(&origin), "the mark is lost");
        let mut rest = Vec::new();
        origin.read_to_end(&mut rest).await.expect("read");
        assert_eq!(rest, [b"!", last].concat());
        let relayed = relay.await.expect("relay");
        assert_eq!(relayed, Relayed { sent: 3 + last.len() as u64, received: 0, end: RelayEnd::Closed });
    }
}
