// SPDX-License-Identifier: Apache-2.0
//! The memory of a proxy that has just started.

use anyhow::Result;

use super::{PROXIES, Repeats, Scenario};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::station::{Sample, Station};
use crate::bench::world::Service;

/// Resident and proportional MiB.
pub(crate) const MEMORY: Scenario = Scenario {
    name: "memory",
    figures: ["resident MiB", "proportional MiB"],
    service: Service::Http1,
    contenders: PROXIES,
    repeats: Repeats::Once,
    measure,
    goals: &[Goal {
        what: "resident MiB after the start",
        of: Of::Main,
        must: Bound::AtMost(14.0),
        aim: Some(Bound::AtMost(10.0)),
    }],
};

fn measure(station: &mut Station, _seconds: u32) -> Result<Sample> {
    let memory = station.memory()?;
    Ok(Sample { main: memory.resident / 1024.0, cost: memory.proportional / 1024.0 })
}
