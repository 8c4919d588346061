// SPDX-License-Identifier: Apache-2.0
//! Programs and origins that misbehave, with default settings: another client is served all the time, memory and
//! processor time are bounded, and both come down afterwards.

mod clients;
mod limits;
mod names;
mod origins;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambassador_tests::{Ambassador, Answer, FaultUpstream, Process, Siege, wait};
use anyhow::Result;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/hostile.py");
/// The port of the attackers' origin.
const PORT: u16 = 7700;

fn siege() -> Result<Siege> {
    Siege::lay(Ambassador::run("-q")?, CLIENT)
}

/// Starts the attack `name` of `clients/hostile.py` with `count` connections, and waits until it is at its height.
fn attack(siege: &Siege, name: &str, count: usize) -> Result<Process> {
    let (port, count) = (PORT.to_string(), count.to_string());
    let program = ["/usr/bin/python3", HOSTILE, name, "10.77.0.2", &port, &count];
    let mut attack = siege.attack(&program)?;
    attack.until_stdout("held", SOON)?;
    Ok(attack)
}

/// Lets an attack last for a while, then ends it; what it said at its end.
fn lasts(attack: Process) -> Result<String> {
    wait::pass(Duration::from_secs(1));
    let said = attack.finish(SOON)?.expect_success()?.text();
    Ok(said.trim_start_matches("held\n").trim().to_owned())
}

/// An origin at every address of 10.78.0.0/16, and at the usual one.
fn everywhere(siege: &Siege) -> Result<FaultUpstream> {
    siege.link.server.ip("route add local 10.78.0.0/16 dev lo")?;
    siege.link.client.ip("route add 10.78.0.0/16 via 10.77.0.2")?;
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    FaultUpstream::start(&siege.link.server, anywhere, |_| Answer::status(200).body("").into())
}

const SOON: Duration = Duration::from_secs(30);
