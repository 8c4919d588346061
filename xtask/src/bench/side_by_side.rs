// SPDX-License-Identifier: Apache-2.0
//! One scenario from its start to its table: everybody in each round, each round begun by another one.

use anyhow::{Context as _, Result};

use super::comparison::{Comparison, shown};
use super::programs::Programs;
use super::scenario::{Repeats, Scenario};
use super::station::Sample;
use super::world::World;
use super::{benchmarks, interrupt};

/// Measures, prints the table and writes it down. The lines of the goals that were missed.
pub(crate) fn run(
    scenario: &'static Scenario,
    programs: &Programs,
    rounds: u32,
    seconds: u32,
) -> Result<Vec<String>> {
    let comparison = measure(scenario, programs, rounds, seconds)?;
    let how = match scenario.repeats {
        Repeats::Rounds => format!(" --rounds {rounds} --seconds {seconds}"),
        Repeats::Once => String::new(),
    };
    let command = format!("cargo xtask bench {}{how}", scenario.name);
    let text = format!("`{command}`: {}\n\n{}", benchmarks::machine()?, comparison.markdown());
    println!("\n{text}");
    benchmarks::write(scenario.name, &text)?;
    Ok(comparison.missed())
}

/// Measures everybody, round by round.
pub(crate) fn measure(
    scenario: &'static Scenario,
    programs: &Programs,
    rounds: u32,
    seconds: u32,
) -> Result<Comparison> {
    let name = scenario.name;
    let (warm_up, rounds) = match scenario.repeats {
        Repeats::Rounds => (1, rounds),
        Repeats::Once => (0, 1),
    };
    let mut world = World::start(programs, scenario.service, scenario.contenders)?;
    let mut comparison = Comparison::new(scenario);
    for round in 0..warm_up + rounds {
        let stations = world.stations();
        let mut samples = vec![Sample { main: f64::NAN, cost: f64::NAN }; stations.len()];
        for turn in 0..stations.len() {
            interrupt::check()?;
            let which = (turn + round as usize) % stations.len();
            let station = &mut stations[which];
            let sample = (scenario.measure)(station, if round < warm_up { 1 } else { seconds });
            samples[which] =
                sample.with_context(|| format!("{name}: {}", scenario.contenders[which].name()))?;
        }
        let figures: Vec<String> = samples.iter().map(|sample| shown(sample.main)).collect();
        let kind = if round < warm_up { "warm-up" } else { "round" };
        println!("bench {name}: {kind}: {} {}", figures.join(" / "), scenario.figures[0]);
        if round >= warm_up {
            comparison.push(samples);
        }
    }
    Ok(comparison)
}
