// SPDX-License-Identifier: Apache-2.0
//! A strict firewall in the program's own namespace: whatever conntrack calls invalid is dropped, as is everything that
//! no rule lets through. Held, replayed and answered SYNs must look sound to it.

use std::time::Duration;

use ambassador_tests::{Ambassador, Comparison, Destinations, Process};
use anyhow::Result;

const RULES: &str = "
table inet strict {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state invalid counter drop
        ct state established,related accept
        iif lo accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    }
    chain output {
        type filter hook output priority 0; policy drop;
        ct state invalid counter drop
        ct state established,related accept
        oif lo accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
        tcp dport { 7000, 7001 } ct state new accept
    }
}
";

const SCRIPT: &str = "
for way in ('blocking', 'epoll', 'mapped', 'mptcp', 'fastopen-send'):
    for place in ('open', 'closed', 'unreachable', 'no-route', 'closed', 'open'):
        say(way + '-' + place, lambda: dial(way, PLACES[place], 5))
        if way != 'mapped':
            say(way + '-' + place + '6', lambda: dial(way, PLACES[place + '6'], 5))
say('black-hole', lambda: dial('blocking', PLACES['black-hole'], 0.5))
say('black-hole-1', lambda: dial('blocking', PLACES['black-hole'], None, syncnt=1))
";

fn check_under(rules: &str) -> Result<()> {
    let destinations = Destinations::new()?;
    let client = &destinations.link.client;
    Process::run_with_input(
        client.command("nft").args(["-f", "-"]),
        rules.as_bytes(),
        Duration::from_secs(5),
    )?
    .expect_success()?;
    let comparison = Comparison::run(&Ambassador::run("-q")?, client, SCRIPT)?;
    comparison.check_direct(&[
        ("blocking-open", "connected"),
        ("blocking-closed6", "ECONNREFUSED"),
        ("blocking-unreachable", "EHOSTUNREACH"),
        ("black-hole-1", "ETIMEDOUT"),
    ])?;
    // The kernel counts seconds in steps of 64 ms, and rings somewhere within one.
    comparison.check(Duration::from_millis(130))
}

#[test]
fn a_firewall_that_drops_what_is_invalid_lets_the_truth_through() -> Result<()> {
    check_under(RULES)
}

/// What the firewall itself rejects is told as it is directly.
#[test]
fn a_rejection_of_the_firewall_is_the_programs_errno() -> Result<()> {
    let destinations = Destinations::new()?;
    let client = &destinations.link.client;
    let rules = "
table inet rejecting {
    chain output {
        type filter hook output priority 0; policy accept;
        tcp dport 7101 reject with tcp reset
        tcp dport 7102 reject with icmpx type host-unreachable
        tcp dport 7103 reject with icmpx type port-unreachable
        tcp dport 7104 drop
    }
}
";
    Process::run_with_input(
        client.command("nft").args(["-f", "-"]),
        rules.as_bytes(),
        Duration::from_secs(5),
    )?
    .expect_success()?;
    let script = "
for way in ('blocking', 'epoll'):
    for port in (7101, 7102, 7103, 7104):
        for host in ('10.77.0.2', 'fd77::2'):
            say('%s-%d-%s' % (way, port, host), lambda: dial(way, (host, port), 0.5))
";
    let comparison = Comparison::run(&Ambassador::run("-q")?, client, script)?;
    comparison.check(Duration::from_millis(40))
}
