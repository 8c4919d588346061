// SPDX-License-Identifier: Apache-2.0
//! Destinations that are known to accept: how long they are, by what, and the one lie that this may tell.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use ambassador_tests::comparison::METRICS;
use ambassador_tests::destinations::teller;
use ambassador_tests::metrics::count;
use ambassador_tests::{Ambassador, Answer, Destinations, FaultUpstream, Link, comparison, wait};
use anyhow::{Context, Result, ensure};

const SOON: Duration = Duration::from_secs(10);
const POLICY: &str = "version: v1
telemetry: {metrics: {listen: '127.0.0.1:9464'}}
defaults: {connectionPool: {maxConnections: 64}}
";

/// Leaves an idle connection to `address` with ambassador, and comes back when what a dial teaches has lapsed.
const LEAVE: &str = "
import http.client
def leave(address):
    connection = http.client.HTTPConnection(*address)
    connection.request('GET', '/')
    assert connection.getresponse().read() != b''
    connection.close()
";

fn held(metrics: &str) -> Result<u64> {
    count(metrics, "ambassador_connect_hold_seconds_count", "outcome=\"allowed\"")
}

#[test]
fn a_destination_is_known_for_as_long_as_an_idle_connection_leads_to_it() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let _origin = FaultUpstream::start(&link.server, Link::v4(7610), |_| Answer::status(200).into())?;
    let _other = teller(&link.server, Link::v4(7611))?;
    let script = format!(
        "{LEAVE}
leave(('10.77.0.2', 7610))
say('other', lambda: dial('blocking', ('10.77.0.2', 7611), 5))
time.sleep(3.5)
for port in (7610, 7611): say('again', lambda: dial('blocking', ('10.77.0.2', port), 5))
{METRICS}"
    );
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let finished = ambassador.output(&link.client, &comparison::python(&script))?.expect_success()?;
    // Both were at first, the other one also when it was not known any more.
    ensure!(held(&finished.errors())? == 3, "{}", finished.errors());
    Ok(())
}

/// For two seconds, neither for much less nor for much more.
#[test]
fn a_destination_that_was_dialled_is_known_for_two_seconds() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = format!(
        "
import urllib.request
def shortcuts():
    page = urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode()
    return sum(int(line.split()[1]) for line in page.splitlines() if 'syn_shortcut' in line)
for pause, places in ((1.5, ('open', 'open6')), (2.6, ('open', 'open6'))):
    for place in places:
        begun = time.monotonic()
        say(place, lambda: dial('blocking', PLACES[place], 5))
        time.sleep(begun + pause - time.monotonic())
        before = shortcuts()
        say('again-' + place, lambda: dial('blocking', PLACES[place], 5))
        print('known-%s-%s' % (pause, place), shortcuts() - before, '0')
        # What this one has taught lapses.
        time.sleep(2.6)
{METRICS}"
    );
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let finished =
        ambassador.output(&destinations.link.client, &comparison::python(&script))?.expect_success()?;
    let told = comparison::told(&finished.text())?;
    let known = told.iter().filter(|told| told.case.starts_with("known"));
    let known: Vec<_> = known.map(|told| (told.case.as_str(), told.result.as_str())).collect();
    let want = [
        ("known-1.5-open", "1"),
        ("known-1.5-open6", "1"),
        ("known-2.6-open", "0"),
        ("known-2.6-open6", "0"),
    ];
    ensure!(known == want, "{told:#?}");
    // Each was held but for the two.
    ensure!(held(&finished.errors())? == 6, "{}", finished.errors());
    Ok(())
}

#[test]
fn a_refused_dial_speaks_louder_than_an_idle_connection() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let listener = link.server.enter(|| Ok(TcpListener::bind(Link::v4(7620))?))?;
    let (answered, kept) = channel::<TcpStream>();
    let origin = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        drop(listener);
        Ok(answered.send(stream)?)
    });
    let script = format!(
        "{LEAVE}
address = ('10.77.0.2', 7620)
leave(address)
input()
def attempt():
    with socket.create_connection(address, 5) as s:
        try:
            s.recv(1)
        except ConnectionResetError:
            return 'lie'
for n in range(20):
    say('closed', attempt)
    time.sleep(0.15)
{METRICS}"
    );
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let mut process = ambassador.spawn(&link.client, &comparison::python(&script))?;
    let _idle = kept.recv_timeout(SOON).context("the first request")?;
    process.say("")?;
    let finished = process.finish(SOON)?.expect_success()?;
    let told = comparison::told(&finished.text())?;
    let refused = told.iter().filter(|told| told.result == "ECONNREFUSED").count();
    ensure!(refused >= 19, "{told:?}");
    ensure!(origin.join().is_ok_and(|served| served.is_ok()), "the origin failed");
    Ok(())
}

#[test]
fn a_known_good_destination_lies_at_most_once_when_it_closes() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let script = format!(
        "
address = ('10.77.0.2', 7600)
for n in range(3): say('live', lambda: dial('blocking', address, 5))
input()
def attempt():
    with socket.create_connection(address, 5) as s:
        try:
            s.recv(1)
        except ConnectionResetError:
            return 'lie'
for n in range(10): say('closed', attempt)
{METRICS}"
    );
    let peer = teller(&link.server, Link::v4(7600))?;
    let mut process = ambassador.spawn(&link.client, &comparison::python(&script))?;
    wait::until_true("three connections", SOON, || process.stdout().lines().count() == 3)?;
    drop(peer);
    process.say("")?;
    let finished = process.finish(SOON)?.expect_success()?;
    let told = comparison::told(&finished.text())?;
    let lies = told.iter().filter(|told| told.result == "lie").count();
    let refused = told.iter().filter(|told| told.result == "ECONNREFUSED").count();
    ensure!(lies <= 1 && lies + refused == 10, "{told:?}");
    let counted = count(&finished.errors(), "ambassador_connect_lies_total", "")?;
    ensure!(counted == u64::try_from(lies)?, "{lies} lies, {counted} counted");
    Ok(())
}

/// What one host says to itself is asked each time: its program knows when its own server has stopped to listen.
const OWN_SERVER: &str = "
for host in ('127.0.0.1', '::1', '10.77.0.1', 'fd77::1'):
    family = family_of((host,))
    for backlog in (1, 9):
        with socket.create_server((host, 0), family=family, backlog=backlog) as server:
            address = server.getsockname()[:2]
            with socket.create_connection(address, 5) as s:
                s.sendall(b'x')
                with server.accept()[0] as accepted:
                    assert accepted.recv(1) == b'x'
        for attempt in range(3):
            with socket.socket(family) as s:
                s.settimeout(5)
                print(host, named(s.connect_ex(address)))
";

#[test]
fn a_destination_on_the_same_host_is_never_believed_to_accept() -> Result<()> {
    let link = Link::new()?;
    let ambassador = Ambassador::with_policy("-q", "version: v1\nintercept: {loopback: true}\n")?;
    let program = comparison::python(OWN_SERVER);
    let told = ambassador.check_like_direct(&link.client, &program, b"")?.text();
    ensure!(told.matches("ECONNREFUSED").count() == 24, "{told}");
    Ok(())
}
