// SPDX-License-Identifier: Apache-2.0
//! What is measured side by side: one scenario per file.

mod bulk;
mod connections;
mod excluded;
mod flows;
mod held;
mod http2;
mod keepalive;
mod latency;
mod memory;

use anyhow::Result;

use super::contender::Contender;
use super::goal::Goal;
use super::station::{Sample, Station};
use super::world::Service;

/// A table of BENCHMARKS.md.
pub(crate) struct Scenario {
    /// The name in the command, and of its marks.
    pub(crate) name: &'static str,
    /// What its figure is called, and what its cost.
    pub(crate) figures: [&'static str; 2],
    /// What is dialled.
    pub(crate) service: Service,
    /// Who takes part.
    pub(crate) contenders: &'static [Contender],
    /// How often.
    pub(crate) repeats: Repeats,
    /// One round of one contender, of about so many seconds.
    pub(crate) measure: fn(&mut Station, u32) -> Result<Sample>,
    /// What ambassador must reach.
    pub(crate) goals: &'static [Goal],
}

/// How often each contender is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// Once to warm up, and then as often as the command says.
    Rounds,
    /// Once, since it finds a fresh proxy only once.
    Once,
}

/// All of them, in the order of BENCHMARKS.md.
pub(crate) const ALL: [&Scenario; 11] = [
    &keepalive::KEEPALIVE,
    &latency::LATENCY,
    &connections::CONNECTIONS,
    &connections::ASKED,
    &flows::FLOWS,
    &bulk::BULK,
    &http2::HTTP2,
    &memory::MEMORY,
    &held::FLOWS,
    &held::REQUESTS,
    &excluded::EXCLUDED,
];

/// What ambassador keeps in memory, which hardly depends on what else the machine does: measured without anybody else.
pub(crate) const WATCHED: [&Scenario; 3] = [
    &Scenario { contenders: ALONE, ..memory::MEMORY },
    &Scenario { contenders: ALONE, ..held::FLOWS },
    &Scenario { contenders: ALONE, ..held::REQUESTS },
];

/// Numbers of a client's answer.
fn numbers<const N: usize>(answer: &str) -> Result<[f64; N]> {
    super::figures::numbers(answer)
}

const ALONE: &[Contender] = &[Contender::Ambassador];
/// Those that are proxies.
const PROXIES: &[Contender] =
    &[Contender::Ambassador, Contender::Envoy, Contender::Haproxy, Contender::Nginx];
