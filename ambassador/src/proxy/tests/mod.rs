// SPDX-License-Identifier: Apache-2.0
//! The HTTP arms in process, with real sockets: a program, the proxy, and an origin that plays a script of bytes.

mod behind;
mod bulk;
mod connections;
mod ends;
mod fidelity;
mod http2;
mod panics;
mod pipelines;
mod refusals;
mod resets;
mod upgrades;
mod urgent;
mod whole;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::http1::{self, pipelines::Pipelines, unclear::Unclear};
use crate::{
    message::{
        Stack,
        flow::{Flow, FlowId},
    },
    net::{
        dial::{Dialer, LocalSockets},
        orig_dst::App,
        presence,
        source::Source,
    },
    upstream::exchange::Exchange,
};

/// What an origin does on one connection.
#[derive(Clone, Copy)]
enum Step {
    /// Reads exactly these bytes.
    Expect(&'static [u8]),
    /// Writes these bytes.
    Send(&'static [u8]),
    /// Reads until the proxy ends the connection, and must read nothing but its end.
    ExpectEnd,
    /// Reads whatever comes, until the proxy ends the connection.
    Drain,
    /// Closes the connection with a reset.
    Reset,
    /// Reads and writes back whatever comes.
    Echo,
}
use Step::{Drain, Echo, Expect, ExpectEnd, Reset, Send};

/// An origin which plays one script for each connection.
struct Origin {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    played: tokio::task::JoinHandle<()>,
}

impl Origin {
    async fn play(scripts: &'static [&'static [Step]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let addr = listener.local_addr().expect("address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let played = tokio::spawn(async move {
            let mut plays = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.expect("accept");
                count.fetch_add(1, Ordering::Relaxed);
                plays.push(tokio::spawn(play(stream, script)));
            }
            for played in plays {
                played.await.expect("the origin's script is kept to");
            }
        });
        Self { addr, accepted, played }
    }

    /// The scripts have been played to their ends.
    async fn done(self) {
        within(self.played).await.expect("scripts");
    }
}

async fn play(mut stream: TcpStream, script: &[Step]) {
    stream.set_nodelay(true).expect("nodelay");
    for step in script {
        match step {
            Expect(bytes) => expect(&mut stream, bytes).await,
            Send(bytes) => stream.write_all(bytes).await.expect("origin writes"),
            ExpectEnd => expect_end(&mut stream).await,
            Drain => while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {},
            Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger"),
            Echo => {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.expect("echo");
            }
        }
    }
}

/// A flow to `origin` through the HTTP/1 arm; returns the program's end.
async fn program(origin: SocketAddr) -> TcpStream {
    let (stream, flow) = accepted(origin).await;
    tokio::spawn(http1::server::serve(
        stream.1,
        BytesMut::new(),
        flow,
        stack(),
        None,
        Unclear::Refuse,
        Pipelines::InTurn,
    ));
    stream.0
}

/// Both ends of a program's connection, and its flow to `origin`.
async fn accepted(origin: SocketAddr) -> ((TcpStream, TcpStream), Arc<Flow>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let client = connect(listener.local_addr().expect("address")).await;
    let (stream, peer) = listener.accept().await.expect("accept");
    let flow = Flow {
        id: FlowId(NEXT_FLOW.fetch_add(1, Ordering::Relaxed)),
        original_dst: origin,
        source: Source::new(peer, 1),
        app: App::default(),
        netns_cookie: 1,
        sockets: Arc::new(LocalSockets),
        dialer: Dialer::unmarked(),
        verdicts: None,
        ahead: crate::message::ahead::Ahead::default(),
        program: Arc::new(presence::untold()),
    };
    ((client, stream), Arc::new(flow))
}

fn stack() -> Stack {
    Stack::new(Exchange)
}

#[allow(clippy::disallowed_methods, reason = "a test is a client")]
async fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).await.expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    within(stream.write_all(bytes)).await.expect("write");
}

#[track_caller]
fn same(got: &[u8], want: &[u8]) {
    assert_eq!(got.escape_ascii().to_string(), want.escape_ascii().to_string());
}

/// Reads exactly `want`.
async fn expect(stream: &mut TcpStream, want: &[u8]) {
    let mut got = Vec::new();
    while got.len() < want.len() {
        let mut piece = vec![0; want.len() - got.len()];
        match within(stream.read(&mut piece)).await {
            Ok(0) => break,
            Ok(count) => got.extend_from_slice(&piece[..count]),
            Err(error) => panic!("{error} after {:?}, wanted {:?}", got.escape_ascii(), want.escape_ascii()),
        }
    }
    same(&got, want);
}

/// Reads an orderly end and nothing before it.
async fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.expect("an orderly end");
    same(&rest, b"");
}

/// Reads a reset.
async fn expect_reset(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = within(stream.read_to_end(&mut rest)).await;
    assert_eq!(end.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    same(&rest, b"");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

static NEXT_FLOW: AtomicU64 = AtomicU64::new(1);
