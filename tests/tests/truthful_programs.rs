// SPDX-License-Identifier: Apache-2.0
//! What programs build on `connect()` telling the truth: Happy Eyeballs, host lists of a database driver, and trying
//! the same socket again.

use std::time::Duration;

use ambassador_tests::destinations::teller;
use ambassador_tests::{
    Ambassador, Comparison, Destinations, Link, Postgres, Process, Told, comparison, wait,
};
use anyhow::{Result, ensure};

const EYEBALLS: &str = r#"
async def race(host, port, limit):
    start = time.monotonic()
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(host, port, happy_eyeballs_delay=0.25), limit)
        reached = (await reader.readline()).decode().split()
        result = "connected-to-" + reached[0]
        writer.close()
    except asyncio.TimeoutError:
        result = "own-timeout"
    except OSError as error:
        numbers = [named(int(n)) for n in __import__("re").findall(r"Errno (\d+)", str(error))]
        result = "+".join(numbers)
    return result, (time.monotonic() - start) * 1000
for host in ("dead-v6", "refused-v6", "unreachable-v6", "no-route-v6", "both-refused", "both-live", "dead-v4", "both-dead"):
    port = CLOSED if host == "both-refused" else OPEN
    print(host, *asyncio.run(race(host, port, 1.0)))
"#;

#[test]
fn happy_eyeballs_choose_as_they_do_directly() -> Result<()> {
    let mut destinations = Destinations::new()?;
    // Only the IPv4 side of the last address is open.
    destinations.link.server.ip(&format!("addr add fd77::3/64 dev {} nodad", Link::DEVICE))?;
    destinations.link.client.set_hosts(&[
        "fd77::9 dead-v6",
        "10.77.0.2 dead-v6",
        "fd77::3 refused-v6",
        "10.77.0.2 refused-v6",
        "fd91::1 unreachable-v6",
        "10.77.0.2 unreachable-v6",
        "2001:db8::1 no-route-v6",
        "10.77.0.2 no-route-v6",
        "fd77::2 both-refused",
        "10.77.0.2 both-refused",
        "fd77::2 both-live",
        "10.77.0.2 both-live",
        "10.77.0.9 dead-v4",
        "fd77::2 dead-v4",
        "10.77.0.9 both-dead",
        "fd77::9 both-dead",
    ])?;
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, EYEBALLS)?;
    comparison.check_direct(&[
        ("dead-v6", "connected-to-10.77.0.2"),
        ("refused-v6", "connected-to-10.77.0.2"),
        ("unreachable-v6", "connected-to-10.77.0.2"),
        ("both-refused", "ECONNREFUSED+ECONNREFUSED"),
        ("both-live", "connected-to-fd77::2"),
        ("both-dead", "own-timeout"),
    ])?;
    comparison.check(Duration::from_millis(40))
}

const HOST_LIST: &str = r#"
import psycopg2
def ask(hosts, ports, more=""):
    connection = psycopg2.connect("hostaddr=%s port=%s user=postgres dbname=postgres %s" % (hosts, ports, more))
    with connection, connection.cursor() as cursor:
        cursor.execute("select host(inet_server_addr()) || ':' || inet_server_port()")
        return "connected-to-" + cursor.fetchone()[0]
def failing(*arguments):
    try:
        return ask(*arguments)
    except psycopg2.OperationalError as error:
        words = ("Connection refused", "No route to host", "timeout expired", "Network is unreachable")
        return "+".join(word.replace(" ", "-") for line in str(error).splitlines() for word in words if word in line)
live = "10.77.0.2"
for mode in ("sslmode=disable", "sslmode=require"):
    say("closed-first", lambda: ask(live + "," + live, "5433,5432", mode))
    say("unreachable-first", lambda: ask("10.91.0.1," + live, "5432,5432", mode))
    say("no-route-first", lambda: ask("192.0.2.1," + live, "5432,5432", mode))
    say("black-hole-first", lambda: ask("10.77.0.9," + live, "5432,5432", mode + " connect_timeout=2"))
    say("unreachable-v6-first", lambda: ask("fd91::1," + live, "5432,5432", mode))
    say("live-first", lambda: ask(live + "," + live, "5432,5433", mode))
say("none", lambda: failing(live + ",10.91.0.1,192.0.2.1,10.77.0.9", "5433,5432,5432,5432", "connect_timeout=2"))
"#;

#[test]
fn libpq_goes_to_the_next_host_of_its_list() -> Result<()> {
    let destinations = Destinations::new()?;
    let _postgres = Postgres::start(&destinations.link.server)?;
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, HOST_LIST)?;
    let live = "connected-to-10.77.0.2:5432";
    for case in ["closed-first", "unreachable-first", "black-hole-first"] {
        comparison.check_direct(&[(case, live)])?;
    }
    comparison.check(Duration::from_millis(80))
}

const AGAIN: &str = r#"
address = ("10.77.0.2", 7300)
def second(s, timeout):
    try:
        return connected(s, address, timeout)
    except ConnectionAbortedError:
        # Linux says so once after a non-blocking connect that failed.
        return "aborted+" + (connected(s, address, timeout) or "connected")
for timeout in (None, 5):
    s = socket.socket()
    s.settimeout(timeout)
    say("first", lambda: s.connect(address))
    input()
    say("second", lambda: second(s, timeout))
    s.close()
    input()
"#;

/// A socket that was refused dials again, and the server is there by then.
#[test]
fn a_refused_socket_connects_when_it_tries_again() -> Result<()> {
    let destinations = Destinations::new()?;
    let client = &destinations.link.client;
    let ambassador = Ambassador::run("-q")?;
    let program = comparison::python(AGAIN);
    let mut direct = client.command(&program[0]);
    for process in [Process::spawn(direct.args(&program[1..]))?, ambassador.spawn(client, &program)?] {
        let told = try_again(&destinations.link, process)?;
        let results = comparison::results(&told);
        ensure!(results == ["ECONNREFUSED", "connected", "ECONNREFUSED", "aborted+connected"], "{told:?}");
    }
    Ok(())
}

fn try_again(link: &Link, mut process: Process) -> Result<Vec<Told>> {
    let soon = Duration::from_secs(10);
    for round in 0..2 {
        let until = |process: &Process, lines: usize| {
            wait::until_true("a line", soon, || process.stdout().lines().count() == lines)
        };
        until(&process, round * 2 + 1)?;
        let peer = teller(&link.server, Link::v4(7300))?;
        process.say("")?;
        until(&process, round * 2 + 2)?;
        drop(peer);
        // The next round begins when the server is no longer remembered as a live one.
        wait::pass(Duration::from_millis(2100));
        process.say("")?;
    }
    comparison::told(&process.finish(soon)?.expect_success()?.text())
}

/// A failed connect leaves nothing of its destination behind on the socket.
#[test]
fn a_socket_is_used_for_many_destinations_in_turn() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
s = socket.socket()
for n in range(50):
    for place in ('closed', 'unreachable', 'no-route', 'closed'):
        say(place, lambda: s.connect(PLACES[place]))
say('open', lambda: connected(s, PLACES['open'], 5))
";
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, script)?;
    comparison.check(Duration::from_millis(40))
}
