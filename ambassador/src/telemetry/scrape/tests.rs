// SPDX-License-Identifier: Apache-2.0
//! The server as a scraper or a probe meets it, on a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::telemetry::Options;

struct Server {
    addr: SocketAddr,
    readiness: Arc<Readiness>,
    _task: JoinSet<()>,
}

async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (telemetry, _guard) = Telemetry::new(Options::default()).unwrap();
    let readiness = Arc::new(Readiness::new());
    let mut task = JoinSet::new();
    let served = Arc::clone(&readiness);
    task.spawn(async move { serve(&listener, telemetry, served).await });
    Server { addr, readiness, _task: task }
}

#[allow(clippy::disallowed_methods, reason = "a test plays the scraper; nothing is intercepted here")]
async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

async fn ask(server: &Server, request: &str) -> String {
    let mut stream = connect(server.addr).await;
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn each_path_answers_what_it_is_for() {
    let server = start().await;
    server.readiness.set(Phase::Ready);
    for (request, status, body) in [
        ("GET /livez", "200 OK", "ok\n"),
        ("GET /readyz", "200 OK", "ok\n"),
        ("GET /healthz?verbose", "200 OK", "ok\n"),
        ("GET /", "404 Not Found", "readyz or /healthz\n"),
        ("POST /metrics", "405 Method Not Allowed", "only GET and HEAD\n"),
        ("HEAD /livez", "200 OK", "\r\n\r\n"),
    ] {
        let reply = ask(&server, request).await;
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status}\r\n")) && reply.ends_with(body),
            "{request}: {reply}"
        );
    }
    let page = ask(&server, "GET /metrics").await;
    assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(page.contains("\nambassador_build_info{"));
    assert!(ask(&server, "DELETE /livez").await.contains("allow: GET, HEAD\r\n"));
}

#[tokio::test]
async fn readiness_says_why_not_and_liveness_does_not_care() {
    let server = start().await;
    for phase in [Phase::Starting, Phase::Detached, Phase::Draining] {
        server.readiness.set(phase);
        for path in ["/readyz", "/healthz"] {
            let reply = ask(&server, &format!("GET {path}")).await;
            assert!(reply.starts_with("HTTP/1.1 503 ") && reply.ends_with(&format!("{phase}\n")), "{reply}");
        }
        assert!(ask(&server, "GET /livez").await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_is_closed_after_five_seconds() {
    let server = start().await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let before = time::Instant::now();
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply).await;
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn silent_connections_can_not_keep_a_probe_out() {
    let server = start().await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(connect(server.addr).await);
    }
    assert!(ask(&server, "GET /livez").await.starts_with("HTTP/1.1 200 "));
}
