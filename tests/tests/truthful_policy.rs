// SPDX-License-Identifier: Apache-2.0
//! Policy in `connect()` itself: retries while the SYN waits, refusals at once; and what the metrics say of all of it.

use std::time::Duration;

use ambassador_tests::comparison::{METRICS, results, under};
use ambassador_tests::destinations::teller;
use ambassador_tests::metrics::{count, seconds};
use ambassador_tests::{
    Ambassador, Answer, Destinations, FaultUpstream, Link, Namespace, Process, comparison, wait,
};
use anyhow::{Context, Result, ensure};

/// A refusal needs no dial, and no SYN that is sent again after a second.
const AT_ONCE: Duration = Duration::from_millis(600);
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_port_that_opens_while_the_syn_waits_is_connected() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let script = "
print('dialling', flush=True)
say('late', lambda: dial('blocking', ('10.77.0.2', 7400), 10))
";
    for flags in ["--retry 50 -q", "-q"] {
        let ambassador = Ambassador::run(flags)?;
        let before = refusals(&link.server)?;
        let mut process = ambassador.spawn(&link.client, &comparison::python(script))?;
        process.until_stdout("dialling", SOON)?;
        wait::until_true("a refused dial", SOON, || {
            refusals(&link.server).is_ok_and(|count| count > before)
        })?;
        let _late = teller(&link.server, Link::v4(7400))?;
        let text = process.finish(SOON)?.expect_success()?.text();
        let told = comparison::told(text.trim_start_matches("dialling\n"))?;
        let want = if flags.contains("retry") { "connected" } else { "ECONNREFUSED" };
        ensure!(results(&told) == [want], "{flags}: {told:?}");
    }
    Ok(())
}

/// How many resets `namespace` has sent.
fn refusals(namespace: &Namespace) -> Result<u64> {
    let snmp = Process::run(namespace.command("cat").arg("/proc/net/snmp"), SOON)?.expect_success()?.text();
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (names, mut values) = tcp.next().zip(tcp.next()).context("no line of TCP")?;
    let place = names.into_iter().position(|name| name == "OutRsts").context("no OutRsts")?;
    Ok(values.nth(place).context("no value")?.parse()?)
}

#[test]
fn retries_that_are_in_vain_end_in_the_refusal() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "say('closed', lambda: dial('blocking', PLACES['closed'], 10))\n\
                  say('unreachable', lambda: dial('blocking', PLACES['unreachable'], 10))";
    let (told, _) = under(&Ambassador::run("--retry 3 -q")?, &destinations.link.client, script)?;
    ensure!(results(&told) == ["ECONNREFUSED", "EHOSTUNREACH"], "{told:?}");
    Ok(())
}

/// A route that this machine does not have is not there 25 ms later either: the program gets its errno at once. What a
/// destination said is retried.
#[test]
fn an_address_without_a_route_is_dialled_once() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
for place in ('closed', 'unreachable', 'no-route', 'no-route6'):
    say(place, lambda: dial('blocking', PLACES[place], 10))";
    let (told, finished) = under(&Ambassador::run("--retry 3 -o json")?, &destinations.link.client, script)?;
    ensure!(results(&told) == ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENETUNREACH"], "{told:?}");
    let errors = finished.errors();
    ensure!(attempts(&errors) == [4, 1, 1, 1], "{errors}");
    Ok(())
}

/// Nobody answers for the address on this link: the kernel finds that out after some 3 s, in which a dial of 1 s is made
/// three times. These are the tries of `--retry 2`, and the program hears of it when it would have directly.
#[test]
fn dials_that_nobody_answers_are_tries_too() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "say('no-neighbour', lambda: dial('blocking', PLACES['no-neighbour'], 20))";
    let ambassador = Ambassador::run("--retry 2 -o json")?;
    let (told, finished) = under(&ambassador, &destinations.link.client, script)?;
    ensure!(results(&told) == ["EHOSTUNREACH"] && told[0].after < Duration::from_secs(5), "{told:?}");
    let errors = finished.errors();
    ensure!(attempts(&errors) == [3], "{errors}");
    Ok(())
}

/// The attempts of each line, the most first: two workers may say their lines in any order.
fn attempts(errors: &str) -> Vec<u64> {
    let lines = errors.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut attempts: Vec<_> = lines.filter_map(|line| line.get("attempts")?.as_u64()).collect();
    attempts.sort_unstable_by(|one, other| other.cmp(one));
    attempts
}

const BREAKER: &str = "version: v1
telemetry:
  metrics: {listen: '127.0.0.1:9464'}
defaults:
  circuitBreaker: {consecutiveFailures: 5, waitDurationInOpenState: 4s}
";

#[test]
fn an_open_breaker_refuses_in_connect_until_a_probe_succeeds() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let ambassador = Ambassador::with_policy("", BREAKER)?;
    let script = format!(
        "
address = ('10.77.0.2', 7500)
for n in range(5): say('failing', lambda: dial('blocking', address, 5))
input()
for n in range(5): say('open', lambda: dial('blocking', address, 5))
time.sleep(4.1)
for n in range(5): say('probed', lambda: dial('blocking', address, 5))
{METRICS}"
    );
    let mut process = ambassador.spawn(&link.client, &comparison::python(&script))?;
    wait::until_true("five refusals", SOON, || process.stdout().lines().count() == 5)?;
    let peer = teller(&link.server, Link::v4(7500))?;
    process.say("")?;
    wait::until_true("five more", SOON, || process.stdout().lines().count() >= 10)?;
    ensure!(peer.accepted() == 0, "{} connections while the breaker was open", peer.accepted());
    let finished = process.finish(SOON)?.expect_success()?;
    let told = comparison::told(&finished.text())?;
    for (index, told) in told.iter().enumerate() {
        let want = if index < 10 { "ECONNREFUSED" } else { "connected" };
        ensure!(told.result == want && told.after < AT_ONCE, "{index}: {told:?}");
    }
    let rejected = count(&finished.errors(), "ambassador_rejected_requests_total", "circuit_open")?;
    ensure!(rejected == 5, "{rejected} refusals counted\n{}", finished.errors());
    let errors = finished.errors();
    let lines = |what: &str| {
        errors.lines().filter(|line| line.contains("10.77.0.2:7500 ") && line.contains(what)).count()
    };
    ensure!((lines("connect_refused"), lines("circuit_open")) == (5, 5), "{errors}");
    Ok(())
}

const BY_NAME: &str = "version: v1
telemetry:
  metrics: {listen: '127.0.0.1:9464'}
routes:
  - name: named
    match: {hosts: [10.77.0.2]}
    retry: {attempts: 1, backoff: {base: 1ms, max: 1ms}}
    circuitBreaker: {consecutiveFailures: 6, waitDurationInOpenState: 60s}
";

#[test]
fn refused_connects_count_for_the_route_of_the_name_but_its_open_breaker_refuses_no_other_name() -> Result<()>
{
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let ambassador = Ambassador::with_policy("-q", BY_NAME)?;
    let script = format!(
        "
address = ('10.77.0.2', 7501)
for n in range(3): say('failing', lambda: dial('blocking', address, 5))
input()
def http(host):
    s = socket.create_connection(address, 5)
    s.sendall(b'GET / HTTP/1.1\\r\\nHost: ' + host + b'\\r\\n\\r\\n')
    return s.recv(4096).decode().split()[1]
say('named', lambda: http(b'10.77.0.2'))
say('other', lambda: http(b'other.example'))
{METRICS}"
    );
    let mut process = ambassador.spawn(&link.client, &comparison::python(&script))?;
    wait::until_true("three refusals", SOON, || process.stdout().lines().count() == 3)?;
    let _upstream = FaultUpstream::start(&link.server, Link::v4(7501), |_| Answer::status(200).into())?;
    process.say("")?;
    let finished = process.finish(SOON)?.expect_success()?;
    let told = comparison::told(&finished.text())?;
    ensure!(results(&told) == ["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "503", "200"], "{told:?}");
    let rejected = count(&finished.errors(), "ambassador_rejected_requests_total", "circuit_open")?;
    ensure!(rejected == 1, "{rejected} refusals counted\n{}", finished.errors());
    Ok(())
}

#[test]
fn a_denied_destination_refuses_in_connect() -> Result<()> {
    let destinations = Destinations::new()?;
    let policy = "version: v1
outboundTrafficPolicy: Deny
routes:
  - name: allowed
    match: {ports: [7001]}
";
    let script = "
for n in range(3):
    say('denied', lambda: dial('blocking', PLACES['open'], 5))
    say('denied6', lambda: dial('epoll', PLACES['open6'], 5))
    say('denied-black-hole', lambda: dial('blocking', PLACES['black-hole'], 5))
    say('denied-unreachable', lambda: dial('blocking', PLACES['unreachable'], 5))
";
    let (told, _) = under(&Ambassador::with_policy("-q", policy)?, &destinations.link.client, script)?;
    ensure!(told.len() == 12);
    for told in told {
        ensure!(told.result == "ECONNREFUSED" && told.after < AT_ONCE, "{told:?}");
    }
    Ok(())
}

#[test]
fn metrics_tell_what_came_of_each_held_connect() -> Result<()> {
    let destinations = Destinations::new()?;
    let policy = "version: v1\ntelemetry: {metrics: {listen: '127.0.0.1:9464'}}\n";
    let ambassador = Ambassador::with_policy("-q", policy)?;
    let script = format!(
        "
for n in range(3): say('closed', lambda: dial('blocking', PLACES['closed'], 5))
for n in range(2): say('unreachable', lambda: dial('blocking', PLACES['unreachable'], 5))
say('gone', lambda: dial('blocking', PLACES['black-hole'], 0.2))
say('open', lambda: dial('blocking', PLACES['open'], 5))
say('known', lambda: dial('blocking', PLACES['open'], 5))
def held():
    page = urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode()
    return sum(int(line.split()[1]) for line in page.splitlines() if line.startswith('ambassador_connect_hold_seconds_count'))
import urllib.request
until = time.monotonic() + 10
# What was given up is counted when the proxy has heard of it.
while held() < 7 and time.monotonic() < until: time.sleep(0.01)
{METRICS}"
    );
    let (_, finished) = under(&ambassador, &destinations.link.client, &script)?;
    let metrics = finished.errors();
    for (outcome, want) in [("refused", 3), ("unreachable", 2), ("abandoned", 1), ("allowed", 1)] {
        let label = format!("outcome=\"{outcome}\"");
        let held = count(&metrics, "ambassador_connect_hold_seconds_count", &label)?;
        ensure!(held == want, "{outcome}: {held}, not {want}\n{metrics}");
    }
    let abandoned = seconds(&metrics, "ambassador_connect_hold_seconds_sum", "outcome=\"abandoned\"")?;
    ensure!((0.19..0.4).contains(&abandoned), "the black hole was held for {abandoned} s");
    // The second dial of the open one, and no other.
    let shortcuts = count(&metrics, "ambassador_bpf_syns_total", "verdict=\"syn_shortcut\"")?;
    ensure!(shortcuts == 1, "{shortcuts} shortcuts\n{metrics}");
    ensure!(count(&metrics, "ambassador_connect_lies_total", "")? == 0, "{metrics}");
    ensure!(count(&metrics, "ambassador_bpf_missing_destination_total", "")? == 0, "{metrics}");
    Ok(())
}
