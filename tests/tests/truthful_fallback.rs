// SPDX-License-Identifier: Apache-2.0
//! Where connects cannot be held, or cannot be answered: what is missing is said once and counted, everything else goes
//! on, and a destination is never said to have refused what it was not asked.

use ambassador_tests::metrics::count;
use ambassador_tests::{Ambassador, Destinations, Namespace, RefusedProgram, comparison};
use anyhow::{Result, ensure};

const POLICY: &str = "version: v1\ntelemetry: {metrics: {listen: '127.0.0.1:9464'}}\n";

/// Dials an open and a closed port, and shows the metrics.
const DIALS: &str = "
import urllib.request
for place in ('open', 'open6', 'closed', 'closed6'): say(place, lambda: dial('blocking', PLACES[place], 5))
sys.stderr.write(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())
";

/// What a run of [`DIALS`] was told, how often it was said that connects succeed at once, and what the gauge is.
fn dial(ambassador: &Ambassador, destinations: &Destinations) -> Result<(Vec<String>, usize, u64)> {
    let finished =
        ambassador.output(&destinations.link.client, &comparison::python(DIALS))?.expect_success()?;
    let told = comparison::told(&finished.text())?.into_iter().map(|told| told.result).collect();
    let errors = finished.errors();
    ensure!(errors.contains("# TYPE ambassador_connect_truthful gauge"), "{errors}");
    let said = errors.lines().filter(|line| line.contains("connect() will succeed at once")).count();
    Ok((told, said, count(&errors, "ambassador_connect_truthful", "")?))
}

const EAGER: [&str; 4] = ["connected", "connected", "ECONNRESET", "ECONNRESET"];

#[test]
fn with_all_that_it_takes_connects_are_truthful_and_nothing_is_said() -> Result<()> {
    let destinations = Destinations::new()?;
    let (told, said, gauge) = dial(&Ambassador::with_policy("-q", POLICY)?, &destinations)?;
    ensure!(told == ["connected", "connected", "ECONNREFUSED", "ECONNREFUSED"], "{told:?}");
    ensure!((said, gauge) == (0, 1), "said {said} times, gauge {gauge}");
    Ok(())
}

#[test]
fn without_raw_sockets_connects_are_eager_and_it_is_said_once() -> Result<()> {
    let destinations = Destinations::new()?;
    let there = Namespace::new("there")?;
    // In two namespaces it is still one thing to say.
    let flags = format!("-q --netns {}", there.path().display());
    let ambassador =
        Ambassador::with_policy(&flags, POLICY)?.first(r#"set -- setpriv --bounding-set=-net_raw "$@""#);
    let (told, said, gauge) = dial(&ambassador, &destinations)?;
    ensure!(told == EAGER, "{told:?}");
    ensure!((said, gauge) == (1, 0), "said {said} times, gauge {gauge}");
    Ok(())
}

#[test]
fn without_the_filter_connects_are_eager_and_it_is_said_once() -> Result<()> {
    let destinations = Destinations::new()?;
    let refused = RefusedProgram::new("lfilter")?;
    let mut ambassador = Ambassador::with_policy("-q", POLICY)?;
    for (name, value) in refused.variables() {
        ambassador = ambassador.env(name, &value);
    }
    let (told, said, gauge) = dial(&ambassador, &destinations)?;
    ensure!(told == EAGER, "{told:?}");
    ensure!((said, gauge) == (1, 0), "said {said} times, gauge {gauge}");
    Ok(())
}

/// Narrows the ports of its namespace and takes all of them, and then dials from one of its own: ambassador has none.
const WITHOUT_PORTS: &str = "
import urllib.request
RANGE = '/proc/sys/net/ipv4/ip_local_port_range'
usual = open(RANGE).read()
open(RANGE, 'w').write('47000 47007')
taken = []
def take():
    s = socket.socket()
    taken.append(s)
    s.settimeout(1)
    s.connect(PLACES['open'])
while say('take', take) == 'connected': assert len(taken) < 20
# Until the destination is asked again.
time.sleep(3)
say('none', lambda: dial('bound-port', PLACES['open'], 1.5))
open(RANGE, 'w').write(usual)
say('again', lambda: dial('bound-port', PLACES['open'], 5))
sys.stderr.write(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())
";

/// Leaves ambassador no descriptor for a while, and dials.
const WITHOUT_DESCRIPTORS: &str = "
import resource, urllib.request
def leave(*most): return resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, *most)
usual = leave()
leave((3, usual[1]))
say('none', lambda: dial('blocking', PLACES['open'], 1.5))
say('none', lambda: dial('blocking', PLACES['closed'], 1.5))
leave(usual)
say('again', lambda: dial('blocking', PLACES['open'], 5))
say('again', lambda: dial('blocking', PLACES['closed'], 5))
sys.stderr.write(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())
";

/// Runs `script`, of whose dials nothing may be refused but that of a closed port with everything there, and returns
/// what it was told and how many dials failed for `reason`.
fn starved(script: &str, reason: &str) -> Result<(Vec<comparison::Told>, u64)> {
    let destinations = Destinations::new()?;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let finished =
        ambassador.output(&destinations.link.client, &comparison::python(script))?.expect_success()?;
    let told = comparison::told(&finished.text())?;
    let failed =
        count(&finished.errors(), "ambassador_connect_failures_total", &format!("reason=\"{reason}\""))?;
    Ok((told, failed))
}

#[test]
fn without_ports_a_connect_waits_and_it_is_counted() -> Result<()> {
    let (told, failed) = starved(WITHOUT_PORTS, "no_ports")?;
    let results = comparison::results(&told);
    ensure!(!results.contains(&"ECONNREFUSED"), "{told:?}");
    ensure!(results.ends_with(&["own-timeout", "connected"]), "{told:?}");
    ensure!(failed > 0, "{told:?}");
    Ok(())
}

#[test]
fn without_descriptors_a_connect_waits_and_it_is_counted() -> Result<()> {
    let (told, failed) = starved(WITHOUT_DESCRIPTORS, "no_descriptors")?;
    let results = comparison::results(&told);
    ensure!(results == ["own-timeout", "own-timeout", "connected", "ECONNREFUSED"], "{told:?}");
    ensure!(failed > 0, "{told:?}");
    Ok(())
}
