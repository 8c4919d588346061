// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 with prior knowledge: 10 connections of 10 streams each.

use anyhow::Result;

use super::{Repeats, Scenario};
use crate::bench::contender::Contender;
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::load::h2load;
use crate::bench::station::{Load, Sample, Station};
use crate::bench::world::Service;

/// Requests per second.
pub(crate) const HTTP2: Scenario = Scenario {
    name: "http2",
    figures: ["req/s", "proxy CPU µs/request"],
    service: Service::Http2,
    contenders: &[Contender::Direct, Contender::Ambassador, Contender::Envoy, Contender::Haproxy],
    repeats: Repeats::Rounds,
    measure,
    goals: &[
        Goal { what: "req/s", of: Of::MainTo(Contender::Envoy), must: Bound::AtLeast(1.2), aim: None },
        Goal {
            what: "req/s",
            of: Of::MainTo(Contender::Haproxy),
            must: Bound::AtLeast(0.8),
            aim: Some(Bound::AtLeast(1.05)),
        },
    ],
};

fn measure(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let outcome = h2load::run(station, 10, 10, seconds)?;
        Ok(Load { main: outcome.rate, units: outcome.requests, carried: outcome.requests })
    })
}
