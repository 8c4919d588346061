// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 on kept connections: 64 clients that never pause.

use anyhow::Result;

use super::{Repeats, Scenario};
use crate::bench::contender::{Contender, WITH_LIMIT};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::load::wrk;
use crate::bench::station::{Load, Sample, Station};
use crate::bench::world::Service;

/// Requests per second.
pub(crate) const KEEPALIVE: Scenario = Scenario {
    name: "keepalive",
    figures: ["req/s", "proxy CPU µs/request"],
    service: Service::Http1,
    contenders: &WITH_LIMIT,
    repeats: Repeats::Rounds,
    measure,
    goals: &[
        Goal {
            what: "req/s",
            of: Of::MainTo(Contender::Envoy),
            must: Bound::AtLeast(1.9),
            aim: Some(Bound::AtLeast(2.1)),
        },
        Goal {
            what: "req/s",
            of: Of::MainTo(Contender::Nginx),
            must: Bound::AtLeast(1.0),
            aim: Some(Bound::AtLeast(1.05)),
        },
        Goal {
            what: "CPU per request",
            of: Of::CostTo(Contender::Envoy),
            must: Bound::AtMost(0.40),
            aim: Some(Bound::AtMost(0.34)),
        },
    ],
};

fn measure(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let outcome = wrk::run(station, 64, seconds, "")?;
        Ok(Load { main: outcome.rate, units: outcome.requests, carried: outcome.requests })
    })
}
