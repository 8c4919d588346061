// SPDX-License-Identifier: Apache-2.0
//! `connect: eager`: who accepts first, and what the program hears then.

use std::time::Duration;

use ambassador_tests::comparison::{METRICS, results, under};
use ambassador_tests::metrics::count;
use ambassador_tests::{Ambassador, Answer, Destinations, FaultUpstream, Link};
use anyhow::{Result, ensure};

/// A refusal needs no dial, and no SYN that is sent again after a second.
const AT_ONCE: Duration = Duration::from_millis(600);

const EAGER: &str = "
def http(port, began=float('inf')):
    s = socket.create_connection(('10.77.0.2', port), 5)
    s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
    if time.monotonic() - began > 0.04:
        return 'too-late'
    reply = s.recv(4096).decode()
    cause = [line for line in reply.splitlines() if line.startswith('x-ambassador-error')]
    return reply.split()[1] + ''.join(cause).replace('x-ambassador-error: ', ':')
def prompt(port):
    # A program that hesitates for 50 ms is reset instead, and a busy machine may make it hesitate. The proxy cannot
    # have begun to wait before the connect did.
    tries = (http(port, time.monotonic()) for n in range(50))
    return next(reply for reply in tries if reply != 'too-late')
def opaque(port):
    s = socket.create_connection(('10.77.0.2', port), 5)
    start = time.monotonic()
    s.sendall(b'\\0\\1')
    return 'end-of-file' if s.recv(1) == b'' else 'data'
";

#[test]
fn an_eager_route_accepts_first_and_answers_then() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let _failing = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(503).into())?;
    let script = format!(
        "{EAGER}
say('connect', lambda: socket.create_connection(PLACES['black-hole'], 5).close())
say('connect', lambda: socket.create_connection(PLACES['black-hole6'], 5).close())
say('opaque', lambda: opaque(CLOSED))
for n in range(5): say('failing', lambda: http(8080))
say('breaker', lambda: http(8080))
"
    );
    let policy = "version: v1
defaults:
  connect: eager
  circuitBreaker: {consecutiveFailures: 5}
";
    let (told, _) = under(&Ambassador::with_policy("-q", policy)?, &link.client, &script)?;
    ensure!(results(&told)[..2] == ["connected", "connected"], "{told:?}");
    ensure!(told[0].after < AT_ONCE && told[1].after < AT_ONCE, "{told:?}");
    ensure!(told[2].result == "ECONNRESET", "{told:?}");
    ensure!(told[8].result == "503:circuit-open", "{told:?}");
    let policy = "version: v1\ndefaults: {connect: eager, timeouts: {request: 5s}}\n";
    let script = format!("{EAGER}\nsay('http', lambda: prompt(CLOSED))");
    let (told, _) = under(&Ambassador::with_policy("-q", policy)?, &link.client, &script)?;
    ensure!(results(&told) == ["502:connect-refused"], "{told:?}");
    // Without a policy there is nothing to answer with but a reset.
    let (told, _) = under(
        &Ambassador::with_policy("-q", "version: v1\ndefaults: {connect: eager}\n")?,
        &link.client,
        &format!("{EAGER}\nsay('opaque', lambda: opaque(CLOSED))"),
    )?;
    ensure!(results(&told) == ["ECONNRESET"], "{told:?}");
    Ok(())
}

#[test]
fn one_route_is_eager_and_the_others_are_truthful() -> Result<()> {
    let destinations = Destinations::new()?;
    let policy = "version: v1
routes:
  - name: eager
    match: {ports: [7002]}
    connect: eager
";
    let script = "
say('eager', lambda: socket.create_connection(('10.77.0.9', 7002), 5).close())
say('truthful', lambda: socket.create_connection(('10.77.0.9', 7001), 0.3).close())
say('truthful', lambda: socket.create_connection(('10.77.0.2', 7001), 5).close())
";
    let (told, _) = under(&Ambassador::with_policy("-q", policy)?, &destinations.link.client, script)?;
    ensure!(results(&told) == ["connected", "own-timeout", "ECONNREFUSED"], "{told:?}");
    Ok(())
}

/// The kernel lets them in without a word to the proxy; a truthful route before them keeps its connects.
#[test]
fn connects_of_an_eager_route_by_port_do_not_wait_for_the_proxy() -> Result<()> {
    let destinations = Destinations::new()?;
    let policy = "version: v1
telemetry: {metrics: {listen: '127.0.0.1:9464'}}
routes:
  - name: truthful
    match: {ports: [7001], cidrs: [10.77.0.2]}
  - name: eager
    match: {hosts: [a.example], ports: [7000, 7001]}
    connect: eager
";
    let script = format!(
        "
for n in range(3): say('eager', lambda: dial('blocking', PLACES['open'], 5))
say('eager', lambda: socket.create_connection(('10.77.0.9', 7000), 5).close())
say('truthful', lambda: dial('blocking', PLACES['closed'], 5))
{METRICS}"
    );
    let (told, finished) =
        under(&Ambassador::with_policy("-q", policy)?, &destinations.link.client, &script)?;
    ensure!(
        results(&told) == ["connected", "connected", "connected", "connected", "ECONNREFUSED"],
        "{told:?}"
    );
    let metrics = finished.errors();
    let eager = count(&metrics, "ambassador_bpf_syns_total", "verdict=\"syn_eager\"")?;
    let passed = count(&metrics, "ambassador_connect_hold_seconds_count", "outcome=\"passed\"")?;
    ensure!((eager, passed) == (4, 0), "{eager} by the kernel, {passed} by the proxy\n{metrics}");
    Ok(())
}
