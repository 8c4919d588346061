// SPDX-License-Identifier: Apache-2.0
//! What an idle connection keeps in the memory of a proxy: 2000 of them, after their first byte or request.

use anyhow::{Result, ensure};

use super::{PROXIES, Repeats, Scenario, numbers};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::server::Manner;
use crate::bench::station::{Sample, Station};
use crate::bench::world::Service;

/// Opaque flows.
pub(crate) const FLOWS: Scenario = Scenario {
    name: "idle-flows",
    figures: ["KiB per flow", "resident KiB per flow"],
    service: Service::Tcp(Manner::Keep),
    contenders: PROXIES,
    repeats: Repeats::Once,
    measure: |station, _seconds| measure(station, "byte"),
    goals: &[Goal {
        what: "KiB per idle flow",
        of: Of::Main,
        must: Bound::AtMost(6.0),
        aim: Some(Bound::AtMost(3.4)),
    }],
};

/// Connections of HTTP/1.1, each after one request.
pub(crate) const REQUESTS: Scenario = Scenario {
    name: "idle-http",
    figures: ["KiB per connection", "resident KiB per connection"],
    service: Service::Http1,
    contenders: PROXIES,
    repeats: Repeats::Once,
    measure: |station, _seconds| measure(station, "http"),
    goals: &[Goal {
        what: "KiB per idle connection",
        of: Of::Main,
        must: Bound::AtMost(6.0),
        aim: Some(Bound::AtMost(1.2)),
    }],
};

fn measure(station: &mut Station, kind: &str) -> Result<Sample> {
    let before = station.memory()?;
    let destination = station.destination();
    let [held] = numbers(&station.ask(&format!("hold {kind} {CONNECTIONS} {destination}"))?)?;
    ensure!(held >= f64::from(CONNECTIONS), "{held} of {CONNECTIONS} are held");
    let after = station.memory()?;
    Ok(Sample {
        main: (after.proportional - before.proportional) / held,
        cost: (after.resident - before.resident) / held,
    })
}

const CONNECTIONS: u32 = 2000;
