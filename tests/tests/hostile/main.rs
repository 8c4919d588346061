// SPDX-License-Identifier: Apache-2.0
//! Programs and origins that misbehave, with default settings: another client is served all the time, memory and
//! processor time are bounded, and both come down afterwards.

mod clients;
mod limits;
mod names;
mod origins;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambassador_tests::{Ambassador, Answer, Attack, FaultUpstream, Siege, wait};
use anyhow::Result;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");

fn siege() -> Result<Siege> {
    Siege::lay(Ambassador::run("-q")?, CLIENT)
}

/// Lets the attack `name` with `count` connections last for a while; what it said at its end.
fn attack(siege: &Siege, name: &str, count: usize) -> Result<String> {
    let attack = Attack::begin(siege, name, count)?;
    wait::pass(Duration::from_secs(1));
    attack.end()
}

/// An origin at every address of 10.78.0.0/16, and at the usual one.
fn everywhere(siege: &Siege) -> Result<FaultUpstream> {
    siege.link.server.ip("route add local 10.78.0.0/16 dev lo")?;
    siege.link.client.ip("route add 10.78.0.0/16 via 10.77.0.2")?;
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, Attack::PORT));
    FaultUpstream::start(&siege.link.server, anywhere, |_| Answer::status(200).body("").into())
}
