// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench SCENARIO`: measures ambassador on this machine and writes what it saw into BENCHMARKS.md.
//!
//! All that is compared is measured in turn within one run, in many short rounds, and compared round by round: a
//! machine that is busy for a while is so for all of them. Numbers of two runs say nothing of each other.

mod benchmarks;
mod connect;
mod figures;
mod server;

use anyhow::Result;
use clap::Subcommand;

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Scenario {
    /// New connections: direct, let in at once (eager), and answered as their destination does (truthful).
    Connect {
        /// How often each of them is measured.
        #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// How long connections are counted in each round.
        #[arg(long, value_name = "S", default_value_t = 1.0)]
        seconds: f64,
    },
}

/// Measures, prints the table, and writes it down.
pub(crate) fn run(scenario: &Scenario) -> Result<()> {
    match *scenario {
        Scenario::Connect { rounds, seconds } => connect::run(rounds, seconds),
    }
}
