// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 on one kept connection: what a request waits for.

use anyhow::Result;

use super::{Repeats, Scenario};
use crate::bench::contender::{Contender, WITH_LIMIT};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::load::wrk;
use crate::bench::station::{Load, Sample, Station};
use crate::bench::world::Service;

/// The median of one client's requests.
pub(crate) const LATENCY: Scenario = Scenario {
    name: "latency",
    figures: ["p50 µs", "proxy CPU µs/request"],
    service: Service::Http1,
    contenders: &WITH_LIMIT,
    repeats: Repeats::Rounds,
    measure,
    goals: &[Goal {
        what: "p50 of one client",
        of: Of::MainTo(Contender::Envoy),
        must: Bound::AtMost(0.46),
        aim: Some(Bound::AtMost(0.40)),
    }],
};

fn measure(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let outcome = wrk::run(station, 1, seconds, "")?;
        Ok(Load { main: outcome.median, units: outcome.requests, carried: outcome.requests })
    })
}
