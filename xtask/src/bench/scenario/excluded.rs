// SPDX-License-Identifier: Apache-2.0
//! A `connect()` that is not redirected: what it costs that somebody could. Nobody listens, so that it is short.

use anyhow::{Result, ensure};

use super::{Repeats, Scenario, numbers};
use crate::bench::contender::Contender;
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::station::{Sample, Station};
use crate::bench::world::Service;

/// The median of a `connect()`; Envoy stands for the rules of netfilter that redirect to it.
pub(crate) const EXCLUDED: Scenario = Scenario {
    name: "excluded",
    figures: ["connect() µs p50", "p99"],
    service: Service::Excluded,
    contenders: &[Contender::Direct, Contender::Ambassador, Contender::Envoy],
    repeats: Repeats::Rounds,
    measure,
    goals: &[Goal {
        what: "connect()",
        of: Of::MainTo(Contender::Direct),
        must: Bound::AtMost(1.05),
        aim: None,
    }],
};

fn measure(station: &mut Station, _seconds: u32) -> Result<Sample> {
    let destination = station.destination();
    let [median, high, refused] = numbers(&station.ask(&format!("closed {CONNECTS} {destination}"))?)?;
    ensure!(refused > 0.0, "a connect to a closed port succeeded");
    Ok(Sample { main: median / 1e3, cost: high / 1e3 })
}

const CONNECTS: u32 = 5000;
