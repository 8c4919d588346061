// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 with a connection per request: 16 clients that close when they have the reply, or that ask for the close.

use anyhow::{Result, ensure};

use super::{Repeats, Scenario, numbers};
use crate::bench::contender::{ALL, Contender};
use crate::bench::goal::{Bound, Goal, Of};
use crate::bench::load::wrk;
use crate::bench::station::{Load, SEPARATOR, Sample, Station};
use crate::bench::world::Service;

/// Requests per second of clients that close, as programs do that make one request.
pub(crate) const CONNECTIONS: Scenario = Scenario {
    name: "connections",
    figures: ["req/s", "proxy CPU µs/request"],
    service: Service::Http1,
    contenders: &ALL,
    repeats: Repeats::Rounds,
    measure: measure_closing,
    goals: GOALS,
};

/// Requests per second of clients that send `Connection: close`.
pub(crate) const ASKED: Scenario =
    Scenario { name: "connections-close", measure: measure_asking, ..CONNECTIONS };

const GOALS: &[Goal] = &[
    Goal {
        what: "req/s",
        of: Of::MainTo(Contender::Envoy),
        must: Bound::AtLeast(1.7),
        aim: Some(Bound::AtLeast(1.9)),
    },
    Goal {
        what: "CPU per request",
        of: Of::CostTo(Contender::Envoy),
        must: Bound::AtMost(0.40),
        aim: Some(Bound::AtMost(0.32)),
    },
];

fn measure_closing(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let command = format!("requests {} 16 {}", seconds * 1000, station.destination());
        let [done, failed, nanoseconds] = numbers(&station.ask(&command)?)?;
        ensure!(failed <= 0.0, "{failed} of {} requests failed", done + failed);
        Ok(Load { main: done / (nanoseconds / 1e9), units: done, carried: done })
    })
}

fn measure_asking(station: &mut Station, seconds: u32) -> Result<Sample> {
    station.loaded(|station| {
        let before = station.opened()?;
        let outcome = wrk::run(station, 16, seconds, &format!("-H Connection:{SEPARATOR}close"))?;
        ensure!(station.opened()? - before >= outcome.requests, "connections were kept");
        Ok(Load { main: outcome.rate, units: outcome.requests, carried: outcome.requests })
    })
}
