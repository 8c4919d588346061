// SPDX-License-Identifier: Apache-2.0
//! Bulk: one TCP stream from the server to the program, as fast as it goes.

use anyhow::Result;

use super::{Repeats, Scenario, numbers};
use crate::bench::contender::{ALL, Contender};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::server::Manner;
use crate::bench::station::{Load, Sample, Station};
use crate::bench::world::Service;

/// Gigabytes per second.
pub(crate) const BULK: Scenario = Scenario {
    name: "bulk",
    figures: ["GB/s", "proxy CPU ms/GB"],
    service: Service::Tcp(Manner::Pour),
    contenders: &ALL,
    repeats: Repeats::Rounds,
    measure,
    goals: &[
        Goal {
            what: "bytes per second",
            of: Of::MainTo(Contender::Direct),
            must: Bound::AtLeast(0.55),
            aim: Some(Bound::AtLeast(0.66)),
        },
        Goal {
            what: "CPU per byte",
            of: Of::CostTo(Contender::Envoy),
            must: Bound::AtMost(1.0),
            aim: Some(Bound::AtMost(0.9)),
        },
    ],
};

fn measure(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let place = station.destination();
        let [bytes, nanoseconds] = numbers(&station.ask(&format!("bulk {} {place}", seconds * 1000))?)?;
        Ok(Load { main: bytes / nanoseconds, units: bytes / 1e6, carried: 1.0 })
    })
}
