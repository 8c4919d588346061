// SPDX-License-Identifier: Apache-2.0
//! A slow dial makes a slow `connect()`: the program waits for its destination, no longer and no shorter than directly.

use std::time::Duration;

use ambassador_tests::destinations::teller;
use ambassador_tests::{Ambassador, Comparison, Destinations, SlowLink};
use anyhow::{Result, ensure};

const DELAYS: [(u16, Duration); 3] = [
    (7020, Duration::from_millis(20)),
    (7200, Duration::from_millis(200)),
    (7250, Duration::from_millis(2500)),
];

/// Dials the slow ports of both families in `way`; the direct run must end as `want` says.
fn check_way(way: &str, timeout: &str, want: &str) -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let _wire = SlowLink::between(link, &DELAYS)?;
    let peers = DELAYS.map(|(port, _)| {
        Ok([teller(&link.server, SlowLink::v4(port))?, teller(&link.server, SlowLink::v6(port))?])
    });
    let _peers = peers.into_iter().collect::<Result<Vec<_>>>()?;
    let script = format!(
        "for port in (7020, 7200, 7250):\n    for host in ('10.78.0.2', 'fd78::2'):\n        \
         say('{way}-%d-%s' % (port, host), lambda: dial('{way}', (host, port), {timeout}))"
    );
    let comparison = Comparison::run(&Ambassador::run("-q")?, &link.client, &script)?;
    for told in comparison.direct.iter().filter(|told| told.result == "connected") {
        let slow = DELAYS.iter().find(|(port, _)| told.case.contains(&port.to_string()));
        ensure!(slow.is_some_and(|(_, delay)| told.after >= *delay), "{told:?} is not slow");
    }
    comparison.check_direct(&[(&format!("{way}-7250-fd78::2"), want)])?;
    comparison.check(Duration::from_millis(40))
}

#[test]
fn a_blocking_connect_waits_as_long_as_its_destination_takes() -> Result<()> {
    check_way("blocking", "None", "connected")
}

#[test]
fn a_nonblocking_connect_waits_as_long_as_its_destination_takes() -> Result<()> {
    check_way("epoll", "10", "connected")
}

#[test]
fn an_mptcp_connect_waits_as_long_as_its_destination_takes() -> Result<()> {
    check_way("mptcp", "None", "connected")
}

#[test]
fn a_program_that_is_less_patient_than_its_destination_gives_up_on_time() -> Result<()> {
    check_way("blocking", "0.1", "own-timeout")
}

/// The dial of a connect that was given up ends with it: the destination sees no connection.
#[test]
fn a_connect_that_is_given_up_takes_its_dial_along() -> Result<()> {
    let destinations = Destinations::new()?;
    let link = &destinations.link;
    let _wire = SlowLink::between(link, &DELAYS)?;
    let peer = teller(&link.server, SlowLink::v4(7200))?;
    let script = "
for n in range(20):
    say('given-up', lambda: dial('blocking', ('10.78.0.2', 7200), 0.05))
time.sleep(0.5)
";
    let comparison = Comparison::run(&Ambassador::run("-q")?, &link.client, script)?;
    comparison.check_direct(&[("given-up", "own-timeout")])?;
    comparison.check(Duration::from_millis(40))?;
    ensure!(peer.accepted() == 0, "{} connections that nobody waited for", peer.accepted());
    Ok(())
}
