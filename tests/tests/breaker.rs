// SPDX-License-Identifier: Apache-2.0
//! The circuit breaker: five failures open it, nothing arrives while it is open, one probe closes it again. The same
//! for HTTP and for a Redis whose port is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambassador_tests::{Ambassador, Answer, Driver, FaultUpstream, Link, Redis, TcpPeer, summary, wait};
use anyhow::{Context, Result, ensure};

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const PORT: u16 = 8080;
const POLICY: &str = "version: v1
routes:
  - name: all
    circuitBreaker: {consecutiveFailures: 5, waitDurationInOpenState: 2s}
";
const OPEN: Duration = Duration::from_secs(2);

/// While it is open a new connection is refused in `connect()`, and one that stands gets an answer.
#[test]
fn http_breaker_opens_probes_once_and_closes() -> Result<()> {
    check_http_breaker(POLICY, |answer| answer == "error ConnectionRefused", "error ConnectionRefused")
}

/// Where connects are accepted first, every request gets an answer.
#[test]
fn http_breaker_of_an_eager_route_answers_new_connections_too() -> Result<()> {
    let policy = format!("{POLICY}    connect: eager\n");
    check_http_breaker(&policy, |answer| answer.starts_with("503") && answer.ends_with("circuit-open"), "503")
}

/// `is_refusal` tells what a new connection gets while the breaker is open; `refused` is the same in a burst.
fn check_http_breaker(policy: &str, is_refusal: impl Fn(&str) -> bool, refused: &str) -> Result<()> {
    let link = Link::new()?;
    let healthy = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&healthy);
    let origin = FaultUpstream::start(&link.server, Link::v4(PORT), move |_| {
        // A healthy answer is slow enough that a second probe would overlap the first.
        let slow = || Answer::status(200).after(Duration::from_millis(700)).into();
        if flag.load(Ordering::SeqCst) { slow() } else { Answer::status(503).into() }
    })?;
    let ambassador = Ambassador::with_policy("-o json", policy)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    let address = origin.address();

    let kept = format!("keep {address} /");
    ensure!(driver.ask(&kept)? == "503 -");
    for number in 2..=5 {
        let answer = driver.get(address, "/")?;
        ensure!(answer.starts_with("503") && !answer.contains("open"), "failure {number}: {answer}");
    }
    let opened = Instant::now();
    ensure!(origin.count() == 5, "{} arrivals before it opened", origin.count());
    for _ in 0..10 {
        let answer = driver.get(address, "/")?;
        let words: Vec<&str> = answer.split_whitespace().collect();
        // Without the milliseconds of an error.
        let answer = if words[0] == "error" { words[..2].join(" ") } else { answer };
        ensure!(is_refusal(&answer), "new connection while open: {answer}");
        let answer = driver.ask(&kept)?;
        ensure!(answer == "503 circuit-open", "kept connection while open: {answer}");
    }
    ensure!(opened.elapsed() < OPEN && origin.count() == 5, "{} arrivals while open", origin.count());

    healthy.store(true, Ordering::SeqCst);
    wait::pass(OPEN.saturating_sub(opened.elapsed()) + Duration::from_millis(100));
    let burst = driver.ask(&format!("burst 8 {address} /"))?;
    // A connect that was let in beside the probe is told in HTTP that it came too late.
    let refusals =
        burst.matches(refused).count() + if refused == "503" { 0 } else { burst.matches("503").count() };
    ensure!(burst.matches("200").count() == 1 && refusals == 7, "half open: {burst}");
    ensure!(origin.count() == 6, "{} probes", origin.count() - 5);
    let burst = driver.ask(&format!("burst 8 {address} /"))?;
    ensure!(burst == "200 200 200 200 200 200 200 200", "closed: {burst}");

    let finished = driver.finish()?.expect_success()?;
    check_transitions(&finished.errors(), &address.to_string())?;
    Ok(())
}

#[test]
fn a_failed_probe_opens_it_again() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(PORT), |_| Answer::status(503).into())?;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    for _ in 0..8 {
        driver.get(origin.address(), "/")?;
    }
    ensure!(origin.count() == 5, "{} arrivals before it opened", origin.count());
    wait::pass(OPEN + Duration::from_millis(100));
    for _ in 0..8 {
        driver.get(origin.address(), "/")?;
    }
    ensure!(origin.count() == 6, "{} arrivals with one failed probe", origin.count());
    Ok(())
}

#[test]
fn failures_that_retries_hide_still_open_it() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(PORT), |_| Answer::status(503).into())?;
    let ambassador = Ambassador::run("--retry 10 --breaker 5 -q")?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    let answer = driver.get(origin.address(), "/")?;
    ensure!(
        answer.starts_with("503") && !answer.ends_with("circuit-open"),
        "the origin's own reply: {answer}"
    );
    ensure!(origin.count() == 5, "{} arrivals of one request with 10 retries", origin.count());
    Ok(())
}

#[test]
fn a_breaker_of_one_destination_leaves_the_others_alone() -> Result<()> {
    let link = Link::new()?;
    let failing = FaultUpstream::start(&link.server, Link::v4(PORT), |_| Answer::status(503).into())?;
    let fine = FaultUpstream::start(&link.server, Link::v4(PORT + 1), |_| Answer::status(200).into())?;
    let ambassador = Ambassador::run("--breaker 5 -q")?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    for _ in 0..10 {
        driver.get(failing.address(), "/")?;
        let answer = driver.get(fine.address(), "/")?;
        ensure!(answer.starts_with("200"), "{answer}");
    }
    ensure!(failing.count() == 5 && fine.count() == 10);
    Ok(())
}

#[test]
fn redis_breaker_opens_on_a_closed_port_and_closes_again() -> Result<()> {
    let link = Link::new()?;
    let ambassador = Ambassador::with_policy("-o json", POLICY)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    let address = Link::v4(Redis::PORT);
    let ping = format!("ping {address}");
    for number in 1..=5 {
        let answer = driver.ask(&ping)?;
        ensure!(answer.starts_with("error"), "failure {number}: {answer}");
    }
    let opened = Instant::now();

    // Open: a listener that is there now sees nothing.
    let mut peer = TcpPeer::start(&link.server, address, |_, _| Ok(()))?;
    for _ in 0..5 {
        let answer = driver.ask(&ping)?;
        ensure!(answer.starts_with("error") || answer.starts_with("-ERR"), "while open: {answer}");
    }
    ensure!(opened.elapsed() < OPEN && peer.accepted() == 0, "{} connections while open", peer.accepted());
    peer.refuse();
    drop(peer);

    let _redis = Redis::start(&link.server)?;
    wait::pass((OPEN + Duration::from_millis(100)).saturating_sub(opened.elapsed()));
    for _ in 0..5 {
        let answer = driver.ask(&ping)?;
        ensure!(answer.starts_with("+PONG"), "closed: {answer}");
    }
    let finished = driver.finish()?.expect_success()?;
    check_transitions(&finished.errors(), &address.to_string())
}

/// Each transition has its message, without having been asked for, and is counted in the summary.
fn check_transitions(stderr: &str, endpoint: &str) -> Result<()> {
    let messages = summary::breaker_messages(stderr, endpoint);
    let opened = messages.first().context("a message")?;
    for (field, want) in [("route", "all"), ("why", "5 failures in a row"), ("open_for", "2s")] {
        ensure!(opened[field] == want, "{field}: {opened}");
    }
    let states = summary::breaker_states(stderr, endpoint);
    ensure!(states == ["open", "half_open", "closed"], "{states:?} in:\n{stderr}");
    ensure!(summary::destination(stderr, endpoint)?.count("breaker_events")? == 3, "{stderr}");
    Ok(())
}

/// What a program has not sent in time says nothing of the server that waits for it; a server that does not tell a
/// program to go on has failed.
#[test]
fn a_program_that_does_not_end_its_request_opens_no_breaker() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(PORT), |_| Answer::status(200).into())?;
    for limit in ["request", "perTry"] {
        let policy = format!(
            "version: v1\ndefaults:\n  timeouts: {{{limit}: 300ms}}\n  circuitBreaker: {{consecutiveFailures: 2}}\n"
        );
        for (line, wanted) in [
            ("X: 1", "504 504 504 200"),
            ("Expect: 100-continue", "504 504 ConnectionRefusedError ConnectionRefusedError"),
        ] {
            let program = ["/usr/bin/python3", "-c", HALF_A_REQUEST, line];
            let run = Ambassador::with_policy("-q", &policy)?.output(&link.client, &program)?;
            let said = run.expect_success()?.text();
            ensure!(said.trim() == wanted, "{limit}, {line}: {said}");
        }
    }
    drop(origin);
    Ok(())
}

const HALF_A_REQUEST: &str = r#"
import socket, sys
def ask(request):
    try:
        s = socket.create_connection(("10.77.0.2", 8080), 10)
        s.sendall(request.encode())
        return s.recv(4096).split()[1].decode()
    except OSError as error:
        return type(error).__name__
half = "POST / HTTP/1.1\r\nHost: a\r\n%s\r\nContent-Length: 9\r\n\r\n" % sys.argv[1]
if "Expect" not in half: half += "half"
print(*[ask(half) for _ in range(3)], ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
"#;
