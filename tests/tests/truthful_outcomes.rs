// SPDX-License-Identifier: Apache-2.0
//! `connect()` tells the truth: in every way in which programs dial, to every kind of destination, with the result
//! and at the time of the direct run.

use std::time::Duration;

use ambassador_tests::{Ambassador, Comparison, Destinations};
use anyhow::Result;

/// What the way through the proxy may add.
const AT_ONCE: Duration = Duration::from_millis(40);

/// The kernel counts seconds in steps of 64 ms, and rings somewhere within one.
const KERNEL_TIMERS: Duration = Duration::from_millis(130);

/// The results of a direct run on Linux, for destinations of one family.
const RESULTS: [(&str, &str); 4] = [
    ("open", "connected"),
    ("closed", "ECONNREFUSED"),
    ("unreachable", "EHOSTUNREACH"),
    ("no-route", "ENETUNREACH"),
];

/// Dials every destination of `suffix` ("" or "6") in `way`, directly and under ambassador.
fn check_way(way: &str, suffix: &str) -> Result<()> {
    let destinations = Destinations::new()?;
    let script = format!(
        "for place in ('open', 'closed', 'unreachable', 'no-route', 'closed', 'open'):\n    \
         say('{way}-' + place, lambda: dial('{way}', PLACES[place + '{suffix}'], 5))"
    );
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, &script)?;
    for (place, result) in RESULTS {
        comparison.check_direct(&[(&format!("{way}-{place}"), result)])?;
    }
    comparison.check(AT_ONCE)
}

macro_rules! ways {
    ($($name:ident: $way:literal $suffix:literal,)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            check_way($way, $suffix)
        }
    )*};
}

ways! {
    blocking: "blocking" "",
    blocking_v6: "blocking" "6",
    epoll: "epoll" "",
    epoll_v6: "epoll" "6",
    poll: "poll" "",
    select: "select" "",
    v4_mapped_as_java: "mapped" "",
    mptcp: "mptcp" "",
    mptcp_v6: "mptcp" "6",
    mptcp_epoll: "mptcp-epoll" "",
    tcp_fastopen_connect: "fastopen-connect" "",
    tcp_fastopen_connect_v6: "fastopen-connect" "6",
    msg_fastopen: "fastopen-send" "",
    msg_fastopen_v6: "fastopen-send" "6",
    from_a_bound_source: "bound" "",
    from_a_bound_source_v6: "bound" "6",
    from_a_bound_source_port: "bound-port" "",
    from_a_bound_source_port_v6: "bound-port" "6",
}

/// An ICMP error says less than a route of this machine: of "prohibited" IPv4 makes EHOSTUNREACH, as for a firewall on
/// the way, and none of them says EINVAL, which a `blackhole` route does.
#[test]
fn a_prohibited_or_discarded_destination_fails_at_once() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
for place in ('prohibited', 'prohibited6', 'discarded', 'discarded6'):
    for way in ('blocking', 'epoll'):
        say(way + '-' + place, lambda: dial(way, PLACES[place], 5))
";
    let mut comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, script)?;
    for told in &mut comparison.direct {
        let (direct, under) = match told.case.rsplit('-').next() {
            Some("prohibited") => ("EACCES", "EHOSTUNREACH"),
            Some("prohibited6") => ("EACCES", "EACCES"),
            _ => ("EINVAL", "EHOSTUNREACH"),
        };
        assert_eq!(told.result, direct, "{told:?}");
        told.result = under.to_owned();
    }
    comparison.check(AT_ONCE)
}

#[test]
fn a_black_hole_runs_into_the_programs_own_timeout() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
for place in ('black-hole', 'black-hole6'):
    for way in ('blocking', 'epoll', 'poll', 'bound', 'mptcp', 'fastopen-send'):
        say(way + '-' + place, lambda: dial(way, PLACES[place], 0.5))
say('mapped-black-hole', lambda: dial('mapped', PLACES['black-hole'], 0.5))
";
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, script)?;
    comparison.check_direct(&[("blocking-black-hole", "own-timeout")])?;
    comparison.check(AT_ONCE)
}

#[test]
fn a_black_hole_ends_with_the_kernels_own_timeout() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
import threading
cases = [(way, place, count) for way in ('blocking', 'epoll', 'mapped') for place in ('black-hole', 'black-hole6')
         for count in (1, 2) if way != 'mapped' or place == 'black-hole']
results = {}
def run(case):
    way, place, count = case
    start = time.monotonic()
    try:
        result = dial(way, PLACES[place], 30 if way == 'epoll' else None, syncnt=count) or 'connected'
    except OSError as error:
        result = named(error.errno)
    results[case] = (result, (time.monotonic() - start) * 1000)
threads = [threading.Thread(target=run, args=(case,)) for case in cases]
[t.start() for t in threads]
[t.join() for t in threads]
for case in cases:
    print('%s-%s-%d' % case, *results[case])
";
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, script)?;
    comparison
        .check_direct(&[("blocking-black-hole-1", "ETIMEDOUT"), ("blocking-black-hole-2", "ETIMEDOUT")])?;
    comparison.check(KERNEL_TIMERS)
}

/// Nobody answers for the address: the kernel says so after it has asked three times.
#[test]
fn an_address_that_nobody_has_is_unreachable_when_the_kernel_knows() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "say('no-neighbour', lambda: dial('blocking', PLACES['no-neighbour'], 20))\n\
                  say('no-neighbour6', lambda: dial('blocking', PLACES['no-neighbour6'], 20))";
    let comparison = Comparison::run(&Ambassador::run("-q")?, &destinations.link.client, script)?;
    comparison.check_direct(&[("no-neighbour", "EHOSTUNREACH")])?;
    comparison.check(KERNEL_TIMERS)
}
