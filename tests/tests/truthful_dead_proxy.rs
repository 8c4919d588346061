// SPDX-License-Identifier: Apache-2.0
//! Ambassador dies or stops while connects wait for it: those in flight end in a refusal or in the program's own
//! timeout, new ones go direct, and nobody is told that a connection stands which does not.

use std::ops::Range;
use std::time::Duration;

use ambassador_tests::{Ambassador, Destinations, Process, Told, comparison, metrics, wait};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(20);
/// Less than a SYN that is sent again would take.
const AT_ONCE: Duration = Duration::from_millis(900);
/// How long those in flight wait by their own will.
const PATIENCE: Duration = Duration::from_secs(6);
/// How much later than their own timer says programs on a busy machine may be.
const LATE: Duration = Duration::from_millis(700);

/// Ten connects to black holes are under way; then new ones are made, and all are told of.
const IN_FLIGHT: &str = "
import threading
def flight(n):
    place = 'black-hole6' if n % 3 == 2 else 'black-hole'
    say('in-flight', lambda: dial(('blocking', 'epoll')[n % 2], PLACES[place], 6))
say('before', lambda: dial('blocking', PLACES['open'], 5))
threads = [threading.Thread(target=flight, args=(n,)) for n in range(10)]
[t.start() for t in threads]
def waiting():
    lines = [line.split() for table in ('tcp', 'tcp6') for line in list(open('/proc/net/' + table))[1:]]
    return sum(line[3] == '02' for line in lines)
# Each of the program's own, and the dial for it.
while waiting() < 20: time.sleep(0.01)
print('pending 0 0', flush=True)
input()
for n in range(5):
    for place in ('open', 'closed', 'unreachable', 'no-route', 'open6', 'closed6'):
        say('new-' + place, lambda: dial('blocking', PLACES[place], 1))
[t.join() for t in threads]
input()
for place in ('open', 'closed', 'unreachable'):
    say('later-' + place, lambda: dial('blocking', PLACES[place], 1))
print('finished 0 0', flush=True)
";

fn start(ambassador: &Ambassador, destinations: &Destinations) -> Result<Process> {
    let mut process = ambassador.spawn(&destinations.link.client, &comparison::python(IN_FLIGHT))?;
    process.until_stdout("pending", SOON)?;
    Ok(process)
}

/// What each line of a new connect must be, and when it must be there.
fn check(told: &[Told], prefix: &str) -> Result<()> {
    let told: Vec<_> = told.iter().filter(|told| told.case.starts_with(prefix)).collect();
    ensure!(!told.is_empty(), "no line of {prefix}");
    for told in told {
        let place = told.case.rsplit('-').next().unwrap_or_default();
        let result = match place {
            "open" | "open6" => "connected",
            "closed" | "closed6" => "ECONNREFUSED",
            "unreachable" => "EHOSTUNREACH",
            "route" => "ENETUNREACH",
            _ => anyhow::bail!("no expectation of {told:?}"),
        };
        ensure!(told.result == result && told.after <= AT_ONCE, "{told:?}");
    }
    Ok(())
}

/// All ten that were in flight had this result, no sooner and no later.
fn check_in_flight(told: &[Told], result: &str, when: Range<Duration>) -> Result<()> {
    let told: Vec<_> = told.iter().filter(|told| told.case == "in-flight").collect();
    let right = told.iter().filter(|told| told.result == result && when.contains(&told.after)).count();
    ensure!((right, told.len()) == (10, 10), "{right} of {} {result} in {when:?}: {told:#?}", told.len());
    Ok(())
}

#[test]
fn after_a_kill_connects_in_flight_fail_and_new_ones_are_direct() -> Result<()> {
    let destinations = Destinations::new()?;
    let ambassador = Ambassador::run("-q")?;
    let mut process = start(&ambassador, &destinations)?;
    process.signal(Signal::SIGKILL)?;
    wait::until_true("no program after kill -9", SOON, || ambassador.cgroup.attached_programs() == 0)?;
    process.say("")?;
    process.until_stdout("new-closed6", SOON)?;
    process.say("")?;
    process.until_stdout("finished", SOON)?;
    let told = comparison::told(&process.stdout())?;
    check(&told, "new-")?;
    // At the next repetition of their SYN: the first comes after a second, the second after three.
    check_in_flight(&told, "ECONNREFUSED", Duration::ZERO..Duration::from_millis(3900))
}

#[test]
fn while_it_is_stopped_connects_in_flight_wait_and_new_ones_are_direct() -> Result<()> {
    let destinations = Destinations::new()?;
    let ambassador = Ambassador::run("-q")?;
    let mut process = start(&ambassador, &destinations)?;
    process.signal(Signal::SIGSTOP)?;
    // Until its heartbeat is stale.
    wait::pass(Duration::from_secs(1));
    process.say("")?;
    wait::until_true("the end of those in flight", SOON, || {
        process.stdout().lines().filter(|line| line.starts_with("in-flight")).count() == 10
            && process.stdout().matches("new-").count() == 30
    })
    .with_context(|| process.stdout())?;
    process.signal(Signal::SIGCONT)?;
    wait::pass(Duration::from_millis(300));
    process.say("")?;
    process.until_stdout("finished", SOON)?;
    let told = comparison::told(&process.stdout())?;
    check(&told, "new-")?;
    check(&told, "later-")?;
    // Nobody has answered for a black hole: neither a refusal nor a connection is true.
    check_in_flight(&told, "own-timeout", PATIENCE..PATIENCE + LATE)?;
    process.finish(SOON)?.expect_success()?;
    ambassador.cgroup.until_clean()
}

/// A connect that is held when the proxy stops, and goes on with it before the program has lost its patience.
#[test]
fn a_connect_survives_a_proxy_that_stops_for_a_moment() -> Result<()> {
    let destinations = Destinations::new()?;
    let ambassador = Ambassador::run("-q")?;
    let script = "
print('ready 0 0', flush=True)
input()
for place in ('open', 'closed', 'unreachable', 'open6'):
    say(place, lambda: dial('blocking', PLACES[place], 5))
print('finished 0 0', flush=True)
";
    let mut process = ambassador.spawn(&destinations.link.client, &comparison::python(script))?;
    process.until_stdout("ready", SOON)?;
    process.signal(Signal::SIGSTOP)?;
    process.say("")?;
    wait::pass(Duration::from_millis(100));
    process.signal(Signal::SIGCONT)?;
    let told = comparison::told(&process.finish(SOON)?.expect_success()?.text())?;
    let results = comparison::results(&told);
    ensure!(results[1..5] == ["connected", "ECONNREFUSED", "EHOSTUNREACH", "connected"], "{told:#?}");
    ensure!(told.iter().all(|told| told.after < Duration::from_secs(3)), "{told:#?}");
    Ok(())
}

/// Rounds of connects to a black hole: so many are begun that what is told of them nearly fills the rings, and all are
/// given up then.
const GIVEN_UP: &str = "
import resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
print('ready', flush=True)
for line in sys.stdin:
    end, sockets = time.monotonic() + 0.4, []
    while time.monotonic() < end and len(sockets) < 3300:
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(PLACES['black-hole'])
        sockets.append(s)
    [s.close() for s in sockets]
    print('given up', len(sockets), flush=True)
";

#[test]
fn dials_whose_connects_were_given_up_unheard_end() -> Result<()> {
    let destinations = Destinations::new()?;
    let client = &destinations.link.client;
    let ambassador =
        Ambassador::with_policy("-q", "version: v1\ntelemetry: {metrics: {listen: '127.0.0.1:9464'}}\n")?;
    let mut process = ambassador.spawn(client, &comparison::python(GIVEN_UP))?;
    process.until_stdout("ready", SOON)?;
    let lost = || -> Result<u64> {
        let mut curl = client.command("curl");
        let page = Process::run(curl.args(["-sS", "http://127.0.0.1:9464/metrics"]), SOON)?;
        metrics::count(&page.expect_success()?.text(), "ambassador_bpf_lost_events_total", "")
    };
    // On a busy machine the program may not be fast enough before the heartbeat is stale, and its connects go direct.
    for round in 1..=10 {
        process.signal(Signal::SIGSTOP)?;
        process.say("")?;
        wait::until_true("a round", SOON, || process.stdout().matches("given up").count() == round)?;
        process.signal(Signal::SIGCONT)?;
        if lost()? > 500 {
            break;
        }
    }
    println!("{} events were lost", lost()?);
    ensure!(lost()? > 500, "the rings were never full: {}", process.stdout());
    let dials = || -> Result<String> {
        let mut ss = client.command("ss");
        Ok(Process::run(ss.args(["-Htn", "state", "syn-sent"]), SOON)?.expect_success()?.text())
    };
    wait::until("no dial", SOON, || Ok(dials()?.is_empty().then_some(()))).with_context(|| {
        dials().map(|dials| format!("{} dials are left", dials.lines().count())).unwrap_or_default()
    })?;
    process.signal(Signal::SIGTERM)?;
    Ok(())
}
