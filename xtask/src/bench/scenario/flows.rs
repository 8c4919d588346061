// SPDX-License-Identifier: Apache-2.0
//! New TCP flows: a connection, the server's byte, the end; 64 clients.

use anyhow::{Result, ensure};

use super::{Repeats, Scenario, numbers};
use crate::bench::contender::{Contender, WITH_LIMIT};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::server::Manner;
use crate::bench::station::{Load, Sample, Station};
use crate::bench::world::Service;

/// Flows per second.
pub(crate) const FLOWS: Scenario = Scenario {
    name: "flows",
    figures: ["flows/s", "proxy CPU µs/flow"],
    service: Service::Tcp(Manner::Greet),
    contenders: &WITH_LIMIT,
    repeats: Repeats::Rounds,
    measure,
    goals: &[Goal {
        what: "new flows per second",
        of: Of::MainTo(Contender::Direct),
        must: Bound::AtLeast(0.42),
        aim: Some(Bound::AtLeast(0.45)),
    }],
};

fn measure(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let place = station.destination();
        let (ip, port) = (place.ip(), place.port());
        let [done, failed, nanoseconds] =
            numbers(&station.ask(&format!("flows {} 64 {ip} 1 {port}", seconds * 1000))?)?;
        ensure!(failed == 0.0, "{failed} of {} connections failed", done + failed);
        Ok(Load { main: done / (nanoseconds / 1e9), units: done, carried: done })
    })
}
