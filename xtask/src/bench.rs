// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench [SCENARIO]`: measures ambassador on this machine and writes what it saw into BENCHMARKS.md.
//!
//! All that is compared is measured in turn within one run, in many short rounds, and compared round by round: a
//! machine that is busy for a while is so for all of them. Numbers of two runs say nothing of each other.

mod benchmarks;
mod comparison;
mod connect;
mod contender;
mod figures;
mod goal;
mod interrupt;
mod load;
mod origin;
mod page;
mod programs;
mod pure;
mod scenario;
mod server;
mod side_by_side;
mod station;
mod usage;
mod watch;
mod world;

use anyhow::{Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use programs::Programs;

/// What is measured, and for how long.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// One scenario; all of them if none is named.
    #[arg(value_parser = PossibleValuesParser::new(names()).map(|name| name))]
    scenario: Option<String>,
    /// How often everybody is measured.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long, each time.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Fails if a goal is missed; without it, that is only said.
    #[arg(long)]
    strict: bool,
    /// Only what `cargo xtask test` checks, instructions and memory; nothing is written down.
    #[arg(long, conflicts_with_all = ["scenario", "rounds", "seconds", "strict"])]
    watch: bool,
}

/// Measures, prints the tables, and writes them down.
pub(crate) fn run(arguments: &BenchArgs) -> Result<()> {
    if arguments.watch {
        return watch::run();
    }
    let wanted = |name: &str| arguments.scenario.as_deref().is_none_or(|scenario| scenario == name);
    for name in names().into_iter().filter(|name| wanted(name)) {
        ensure!(benchmarks::has_marks(name), "BENCHMARKS.md has no marks of {name}");
    }
    if wanted(pure::SCENARIO) {
        pure::run()?;
    }
    if names().into_iter().all(|name| name == pure::SCENARIO || !wanted(name)) {
        return Ok(());
    }
    let programs = Programs::ready()?;
    interrupt::note()?;
    let BenchArgs { rounds, seconds, strict, .. } = *arguments;
    let mut missed = Vec::new();
    for scenario in scenario::ALL.into_iter().filter(|scenario| wanted(scenario.name)) {
        missed.extend(said(scenario.name, side_by_side::run(scenario, &programs, rounds, seconds)?));
    }
    if wanted(connect::SCENARIO) {
        missed.extend(said(connect::SCENARIO, connect::run(&programs, rounds, seconds)?));
    }
    if missed.is_empty() {
        println!("bench: every goal is met");
        return Ok(());
    }
    print!("bench: goals missed: {}\n{}", missed.len(), missed.concat());
    ensure!(!strict, "{} goals were missed", missed.len());
    Ok(())
}

/// What `cargo xtask test` checks: [`watch::run`].
pub(crate) fn watch() -> Result<()> {
    watch::run()
}

fn said(scenario: &str, missed: Vec<String>) -> impl Iterator<Item = String> {
    missed.into_iter().map(move |line| line.replacen("- ", &format!("- {scenario}: "), 1))
}

/// All scenarios.
fn names() -> Vec<&'static str> {
    scenario::ALL.iter().map(|scenario| scenario.name).chain([connect::SCENARIO, pure::SCENARIO]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_tree_has_the_marks_of_all_scenarios() {
        for name in names() {
            assert!(benchmarks::has_marks(name), "{name}");
        }
    }
}
