// SPDX-License-Identifier: Apache-2.0
//! A program that gives up has its connections ended, as the kernel ends them directly; one that has only ended its side
//! is served for as long as it takes. Servers of these tests never end a connection themselves.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambassador_tests::{Ambassador, Answer, FaultUpstream, Link, TcpPeer, wait};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Longer than any test.
const NEVER: Duration = Duration::from_mins(1);
/// Longer than ambassador takes to miss a program.
const WHILE: Duration = Duration::from_secs(4);

fn lines(errors: &str) -> Vec<Value> {
    errors.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The connection ends with the function that serves it.
fn hold(_: &TcpStream) {
    wait::pass(NEVER);
}

#[test]
fn a_request_that_nobody_waits_for_ends_with_its_program() -> Result<()> {
    let link = Link::new()?;
    let _origin =
        FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).after(NEVER).into())?;
    for flags in ["-o json", "-o json --retry 2 --breaker 5"] {
        let script = "curl -s -m 0.3 http://10.77.0.2:8080/get; curl -s -m 0.3 -d body http://10.77.0.2:8080/post; sleep 4";
        let finished = Ambassador::run(flags)?.output(&link.client, &["sh", "-c", script])?;
        let lines = lines(&finished.errors());
        for path in ["/get", "/post"] {
            let told = lines.iter().find(|line| line["path"] == path).context("a line")?;
            ensure!(told["error"] == "client_gone" && told["status"].is_null(), "{flags}: {told}");
            let lasted = told["duration_ms"].as_f64().context("a duration")?;
            ensure!((250.0..3000.0).contains(&lasted), "{flags}: {told}");
        }
    }
    Ok(())
}

#[test]
fn a_reply_that_nobody_reads_ends_with_its_program() -> Result<()> {
    let link = Link::new()?;
    let _origin = TcpPeer::start(&link.server, Link::v4(8080), |mut stream, _| {
        ensure!(stream.read(&mut [0; 4096])? > 0, "no request");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")?;
        hold(stream);
        Ok(())
    })?;
    let script = "curl -sN -m 0.3 http://10.77.0.2:8080/events; sleep 4";
    let finished = Ambassador::run("-o json")?.output(&link.client, &["sh", "-c", script])?;
    let lines = lines(&finished.errors());
    let told = lines.iter().find(|line| line["path"] == "/events").context("a line")?;
    ensure!(told["error"] == "client_gone" && told["status"] == 200, "{told}");
    ensure!(told["duration_ms"].as_f64().context("a duration")? < 3000.0, "{told}");
    Ok(())
}

#[test]
fn a_program_that_only_ends_its_side_is_answered_however_late() -> Result<()> {
    let link = Link::new()?;
    let _http =
        FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).after(WHILE).into())?;
    let _opaque = TcpPeer::start(&link.server, Link::v4(7000), |mut stream, _| {
        stream.read_to_end(&mut Vec::new())?;
        wait::pass(WHILE);
        Ok(stream.write_all(b"HTTP/1.1 late")?)
    })?;
    let script = "
import socket
both = [socket.create_connection(('10.77.0.2', port)) for port in (8080, 7000)]
both[0].sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n')
both[1].sendall(b'\\0')
for s in both: s.shutdown(socket.SHUT_WR)
for s in both: print(s.recv(4096)[:8])
";
    let finished =
        Ambassador::run("-o json")?.output(&link.client, &["python3", "-c", script])?.expect_success()?;
    ensure!(finished.text() == "b'HTTP/1.1'\nb'HTTP/1.1'\n", "{}", finished.text());
    Ok(())
}

/// A webhook's sender: it neither reads the reply nor waits for it.
#[test]
fn what_a_program_has_sent_arrives_although_it_has_left() -> Result<()> {
    const SIZE: usize = 1 << 20;
    let link = Link::new()?;
    let (got, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (all, ends) = (Arc::clone(&got), Arc::clone(&count));
    let _origin = TcpPeer::start(&link.server, Link::v4(8080), move |mut stream, _| {
        // Until then some of it waits in the buffers between, and its program has long left.
        wait::pass(WHILE);
        all.fetch_add(stream.read_to_end(&mut Vec::new())?, Ordering::SeqCst);
        ends.fetch_add(1, Ordering::SeqCst);
        Ok(())
    })?;
    let script = format!(
        "
import os, socket
for head in (b'POST /hook HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: {SIZE}\\r\\n\\r\\n', b'\\0' * 9):
    if os.fork() == 0:
        s = socket.create_connection(('10.77.0.2', 8080))
        s.sendall(head + b'x' * {SIZE})
        s.close()
        os._exit(0)
for _ in range(2): os.wait()
import time; time.sleep(5)
"
    );
    ensure!(link.client.command("python3").args(["-c", &script]).status()?.success(), "the direct run");
    wait::until_true("both have arrived directly", NEVER, || count.load(Ordering::SeqCst) == 2)?;
    let want = got.swap(0, Ordering::SeqCst);
    Ambassador::run("-o json")?.output(&link.client, &["python3", "-c", &script])?.expect_success()?;
    wait::until_true("both have arrived", NEVER, || count.load(Ordering::SeqCst) == 4)?;
    ensure!(got.load(Ordering::SeqCst) == want, "{} of {want} bytes", got.load(Ordering::SeqCst));
    Ok(())
}

#[test]
fn a_flow_whose_server_stays_is_told_of() -> Result<()> {
    let link = Link::new()?;
    let _silent = TcpPeer::start(&link.server, Link::v4(7000), |stream, _| {
        hold(stream);
        Ok(())
    })?;
    let _greeter = TcpPeer::start(&link.server, Link::v4(7001), |mut stream, _| {
        stream.read_exact(&mut [0])?;
        stream.write_all(b"pong")?;
        hold(stream);
        Ok(())
    })?;
    let program = |after: f64| {
        format!(
            "
import socket, time
for port in (7000, 7001):
    s = socket.create_connection(('10.77.0.2', port))
    s.sendall(b'\\0')
    if port == 7001: assert s.recv(4) == b'pong'
    s.close()
time.sleep({after})
"
        )
    };
    // Missed while its program goes on, or dropped because all has ended.
    for after in [4.0, 0.0] {
        let finished = Ambassador::run("-o json")?
            .output(&link.client, &["python3", "-c", &program(after)])?
            .expect_success()?;
        let lines = lines(&finished.errors());
        for (port, error, received) in [(7000, Value::from("client_gone"), 0), (7001, Value::Null, 4)] {
            let of =
                |line: &&Value| line["endpoint"].as_str().is_some_and(|to| to.ends_with(&format!(":{port}")));
            let told = lines.iter().find(of).with_context(|| format!("a line of {port} in {lines:?}"))?;
            ensure!(
                told["error"] == error && told["bytes_received"] == received && told["bytes_sent"] == 1,
                "{told}"
            );
            ensure!(after == 0.0 || told["duration_ms"].as_f64().context("a duration")? < 3000.0, "{told}");
        }
    }
    Ok(())
}

#[test]
fn a_probe_that_its_program_gives_up_leaves_the_breaker_half_open_to_another() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |arrival| match arrival.index {
        0 | 1 => Answer::status(503).into(),
        2 => Answer::status(200).after(NEVER).into(),
        _ => Answer::status(200).into(),
    })?;
    let policy = "version: v1
defaults:
  circuitBreaker: {consecutiveFailures: 2, waitDurationInOpenState: 1s}
";
    let script = "
ask() { curl -s -o /dev/null -w '%{http_code} ' -m 0.4 http://10.77.0.2:8080/; }
ask; ask; sleep 1.2; ask; sleep 3; ask; ask";
    let finished = Ambassador::with_policy("-o json", policy)?.output(&link.client, &["sh", "-c", script])?;
    ensure!(finished.text() == "503 503 000 200 200 ", "{} {}", finished.text(), finished.errors());
    ensure!(origin.count() == 5, "{} arrivals", origin.count());
    Ok(())
}
