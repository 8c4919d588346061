// SPDX-License-Identifier: Apache-2.0
//! Many connects at once, connects that are given up, and source ports that are used again at once: nobody is told
//! what another connection's destination said, and nothing is left behind.

use std::time::{Duration, Instant};

use ambassador_tests::ambassador::LONG;
use ambassador_tests::destinations::teller;
use ambassador_tests::{
    Ambassador, Cgroup, Comparison, Destinations, Link, Namespace, Process, Told, comparison, kernel_maps,
    metrics, wait,
};
use anyhow::{Context, Result, ensure};

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const POLICY: &str = "version: v1\ntelemetry: {metrics: {listen: '127.0.0.1:9464'}}\n";
const SOON: Duration = Duration::from_secs(10);

/// No verdict is left, neither in a word nor in the map.
fn until_no_verdict_is_left(cgroup: &Cgroup) -> Result<()> {
    let left = || -> Result<(usize, usize)> {
        Ok((kernel_maps::nonzero(cgroup, "VERDICT_WORDS")?, kernel_maps::entries(cgroup, "VERDICT")?))
    };
    wait::until("no verdict", SOON, || Ok((left()? == (0, 0)).then_some(())))
        .with_context(|| format!("words and entries: {:?}", left()))
}

/// Nothing of any connection is left: in the kernel programs' maps, and of half-open connections.
fn until_nothing_is_left(cgroup: &Cgroup, namespace: &Namespace) -> Result<()> {
    let left = || kernel_maps::entries(cgroup, "FLOW");
    wait::until("no connection", SOON, || Ok((left()? == 0).then_some(())))
        .with_context(|| format!("left: {:?}", left()))?;
    until_no_verdict_is_left(cgroup)?;
    let mut ss = namespace.command("ss");
    let half_open = Process::run(ss.args(["-Htn", "state", "syn-recv"]), LONG)?.expect_success()?.text();
    ensure!(half_open.is_empty(), "half-open connections are left:\n{half_open}");
    Ok(())
}

/// Runs `words` of the client under ambassador, and then waits until nothing is left.
fn storm(destinations: &Destinations, words: &[&str]) -> Result<(String, String, Duration)> {
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let namespace = &destinations.link.client;
    let script = r#""$@"; echo finished; read line"#;
    let program = [&["sh", "-c", script, "sh"], words].concat();
    let mut process = ambassador.spawn(namespace, &program)?;
    let begun = Instant::now();
    process.until_stdout("finished", LONG).with_context(|| process.stderr())?;
    let elapsed = begun.elapsed();
    until_nothing_is_left(&ambassador.cgroup, namespace)?;
    let mut curl = namespace.command("curl");
    let metrics =
        Process::run(curl.args(["-sS", "http://127.0.0.1:9464/metrics"]), LONG)?.expect_success()?;
    process.say("")?;
    let text = process.finish(SOON)?.expect_success()?.text();
    Ok((text.replace("finished\n", ""), metrics.text(), elapsed))
}

/// Makes 10.99.0.0/16 addresses of the server.
fn with_many_addresses() -> Result<(Destinations, ambassador_tests::TcpPeer)> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    link.server.ip("route add local 10.99.0.0/16 dev lo")?;
    link.client.ip(&format!("route add 10.99.0.0/16 via {}", Link::SERVER_V4))?;
    let every = teller(&link.server, "0.0.0.0:7010".parse()?)?;
    Ok((destinations, every))
}

#[test]
fn twenty_thousand_connects_are_told_what_their_own_destination_said() -> Result<()> {
    let (destinations, _peer) = with_many_addresses()?;
    let (text, metrics, elapsed) = storm(&destinations, &[CLIENT, "storm", "20000", "64", "6000"])?;
    println!("{text} in {elapsed:?}");
    ensure!(text == "wrong 0 missing 0 cancelled 6000\n", "{text}");
    // Each was held, none slipped by.
    let held = |outcome: &str| {
        let name = "ambassador_connect_hold_seconds_count";
        metrics::count(&metrics, name, &format!("outcome=\"{outcome}\""))
    };
    ensure!(held("allowed")? >= 15_000 && held("refused")? >= 5000, "{metrics}");
    for nothing in [
        "ambassador_connect_lies_total",
        "ambassador_bpf_lost_events_total",
        "ambassador_bpf_missing_destination_total",
    ] {
        ensure!(metrics::count(&metrics, nothing, "")? == 0, "{nothing}: {metrics}");
    }
    Ok(())
}

/// The kernel takes a verdict back when its connection closes, the proxy when it accepts it: so the words of connections
/// that stay open show whether the proxy does. It sweeps them, too, but seldom.
#[test]
fn the_verdict_on_a_connection_that_stays_is_taken_back_when_it_is_accepted() -> Result<()> {
    const COUNT: usize = 200;
    let (destinations, _peer) = with_many_addresses()?;
    let client = &destinations.link.client;
    let script = format!(
        "
held = []
for n in range({COUNT}):
    s = socket.create_connection(('10.99.0.%d' % (n + 1), 7010), 5)
    assert s.recv(100).startswith(b'10.99.0.%d ' % (n + 1))
    held.append(s)
print('open', flush=True)
input()
"
    );
    let ambassador = Ambassador::run("-q")?;
    let mut process = ambassador.spawn(client, &comparison::python(&script))?;
    process.until_stdout("open", LONG).with_context(|| process.stderr())?;
    until_no_verdict_is_left(&ambassador.cgroup)?;
    ensure!(kernel_maps::entries(&ambassador.cgroup, "FLOW")? == COUNT, "they are open");
    process.say("")?;
    process.finish(SOON)?.expect_success()?;
    Ok(())
}

/// Drops the last segment of every handshake with a listener: the program is connected, and the listener not yet.
const LAST_SEGMENT_LOST: &str = "
table inet lossy {
    chain output {
        type filter hook output priority 0;
        ip daddr 127.77.0.0/24 tcp flags & (fin | syn | rst | psh | ack) == ack drop
    }
}
";

#[test]
fn a_reset_before_the_listener_has_the_connection_ends_that_at_the_server() -> Result<()> {
    let destinations = Destinations::new()?;
    let Link { client, server } = &destinations.link;
    let script = r#"
print("begun", flush=True)
input()
s = socket.create_connection(PLACES["open"])
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print("connected", flush=True)
input()
s.close()
input()
"#;
    let ambassador = Ambassador::run("-q")?;
    let mut process = ambassador.spawn(client, &comparison::python(script))?;
    process.until_stdout("begun", SOON)?;
    // Not before: the self-test passes the listeners, too.
    Process::run_with_input(client.command("nft").args(["-f", "-"]), LAST_SEGMENT_LOST.as_bytes(), SOON)?
        .expect_success()?;
    process.say("")?;
    process.until_stdout("connected", SOON)?;
    let at_server = || -> Result<String> {
        let mut ss = server.command("ss");
        let filter = format!("sport = :{}", Destinations::OPEN);
        let open = Process::run(ss.args(["-Htn", "state", "established", &filter]), SOON)?;
        Ok(open.expect_success()?.text())
    };
    wait::until_true("the connection at the server", SOON, || {
        at_server().is_ok_and(|open| !open.is_empty())
    })?;
    process.say("")?;
    wait::until_true("its end", SOON, || at_server().is_ok_and(|open| open.is_empty()))?;
    until_nothing_is_left(&ambassador.cgroup, client)?;
    process.say("")?;
    process.finish(SOON)?.expect_success()?;
    Ok(())
}

/// One explicitly bound source port: a connect is begun and abandoned, and the port is used again at once for a full
/// connect to another destination.
const REUSE: &str = r#"
import random
random.seed(7)
def bound():
    s = socket.socket(family)
    # Without it a port is free only when no socket at all has it.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, n % 2)
    # A reset instead of TIME_WAIT, which would keep the port from being used again.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.bind((source, 45001))
    return s
def abandon(place):
    s = bound()
    s.setblocking(False)
    s.connect_ex(PLACES[place])
    end = time.monotonic() + random.choice((0, 0, 0.0001, 0.0003, 0.001, 0.003))
    while time.monotonic() < end: pass
    s.close()
def full(place):
    s = bound()
    try:
        return connected(s, PLACES[place], 5)
    finally:
        s.close()
for family, source, suffix in ((socket.AF_INET, "10.77.0.1", ""), (socket.AF_INET6, "fd77::1", "6")):
    for n in range(500):
        kinds = ("open", "closed", "unreachable", "black-hole")
        abandon(kinds[random.randrange(4)] + suffix)
        place = kinds[n % 3] + suffix
        say(place, lambda: full(place))
"#;

#[test]
fn a_source_port_that_is_used_again_at_once_is_never_told_of_its_predecessor() -> Result<()> {
    let destinations = Destinations::new()?;
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, REUSE)?;
    for (run, told) in [("direct", &comparison.direct), ("under", &comparison.under)] {
        let wrong: Vec<_> = told.iter().filter(|told| !is_true(told)).collect();
        let late: Vec<_> = told.iter().filter(|told| told.after > SYN_DROPPED).collect();
        println!("{run}: {} wrong, {} late of {}", wrong.len(), late.len(), told.len());
        ensure!(told.len() == 1000 && wrong.is_empty(), "{run}: {} wrong: {wrong:#?}", wrong.len());
        ensure!(late.len() <= LATE_MOST, "{run}: {} late: {late:#?}", late.len());
    }
    Ok(())
}

/// What a full connect to this place is told, and nothing else.
fn is_true(told: &Told) -> bool {
    let result = match told.case.trim_end_matches('6') {
        "open" => "connected",
        "closed" => "ECONNREFUSED",
        "unreachable" => "EHOSTUNREACH",
        _ => return false,
    };
    told.result == result
}

/// A SYN that is dropped is sent again after a second.
const SYN_DROPPED: Duration = Duration::from_millis(500);
/// The kernel itself drops one now and then, which meets what is left of the port's last connection.
const LATE_MOST: usize = 5;
