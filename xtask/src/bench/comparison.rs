// SPDX-License-Identifier: Apache-2.0
//! The table of one scenario: medians over the rounds, and ratios that are taken within each round.

use std::fmt::Write as _;

use super::contender::Contender;
use super::figures::median;
use super::goal::Of;
use super::scenario::Scenario;
use super::station::Sample;

/// All rounds of one scenario, one sample per contender in each.
pub(crate) struct Comparison {
    scenario: &'static Scenario,
    rounds: Vec<Vec<Sample>>,
}

impl Comparison {
    /// Of nothing yet.
    pub(crate) fn new(scenario: &'static Scenario) -> Self {
        Self { scenario, rounds: Vec::new() }
    }

    /// Adds a round, whose samples stand in the order of the scenario's contenders.
    pub(crate) fn push(&mut self, round: Vec<Sample>) {
        self.rounds.push(round);
    }

    /// The table, and the goals below it.
    pub(crate) fn markdown(&self) -> String {
        let [main, cost] = self.scenario.figures;
        let mut text =
            format!("| | {main} | × direct | × Envoy | {cost} | × Envoy |\n|---|---|---|---|---|---|\n");
        for contender in self.scenario.contenders {
            let main_to = |other| shown(self.ratio(*contender, other, |sample| sample.main));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                contender.name(),
                shown(self.median(*contender, |sample| sample.main)),
                main_to(Contender::Direct),
                main_to(Contender::Envoy),
                shown(self.median(*contender, |sample| sample.cost)),
                shown(self.ratio(*contender, Contender::Envoy, |sample| sample.cost)),
            );
        }
        if !self.scenario.goals.is_empty() {
            text.push('\n');
        }
        for goal in self.scenario.goals {
            text.push_str(&goal.line(self.value(goal.of)));
        }
        text
    }

    /// The lines of the goals that were not reached.
    pub(crate) fn missed(&self) -> Vec<String> {
        let values = self.scenario.goals.iter().map(|goal| (goal, self.value(goal.of)));
        values.filter(|(goal, value)| !goal.is_met(*value)).map(|(goal, value)| goal.line(value)).collect()
    }

    fn value(&self, of: Of) -> f64 {
        let ours = Contender::Ambassador;
        match of {
            Of::Main => self.median(ours, |sample| sample.main),
            Of::MainTo(other) => self.ratio(ours, other, |sample| sample.main),
            Of::CostTo(other) => self.ratio(ours, other, |sample| sample.cost),
        }
    }

    fn median(&self, contender: Contender, of: fn(&Sample) -> f64) -> f64 {
        median(&self.of(contender), of)
    }

    fn ratio(&self, one: Contender, other: Contender, of: fn(&Sample) -> f64) -> f64 {
        let pairs: Vec<(Sample, Sample)> = self.of(one).into_iter().zip(self.of(other)).collect();
        median(&pairs, |(one, other)| of(one) / of(other))
    }

    fn of(&self, contender: Contender) -> Vec<Sample> {
        let Some(index) = self.scenario.contenders.iter().position(|other| *other == contender) else {
            return Vec::new();
        };
        self.rounds.iter().filter_map(|round| round.get(index)).copied().collect()
    }
}

/// Three digits or more; a dash for what there is none of.
pub(crate) fn shown(value: f64) -> String {
    match value {
        nothing if nothing.is_nan() => "–".to_owned(),
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::ALL;
    use super::*;

    #[test]
    fn ratios_are_taken_within_each_round() {
        let keepalive = ALL[0];
        let mut comparison = Comparison::new(keepalive);
        // The machine was ten times slower in the second round.
        for factor in [1.0, 0.1, 1.0] {
            let sample = |main: f64, cost: f64| Sample { main: main * factor, cost };
            let (direct, nobody) = (sample(100.0, f64::NAN), sample(50.0, 4.0));
            comparison.push(vec![direct, sample(40.0, 10.0), sample(20.0, 40.0), nobody, nobody]);
        }
        let text = comparison.markdown();
        assert!(text.contains("| direct | 100 | 1.00 | 5.00 | – | – |\n"), "{text}");
        assert!(text.contains("| ambassador | 40.0 | 0.40 | 2.00 | 10.0 | 0.25 |\n"), "{text}");
        assert!(text.contains("2.00 × Envoy (goal ≥ 1.9 met"), "{text}");
        let [missed] = &comparison.missed()[..] else { panic!("{text}") };
        assert!(missed.contains("req/s: 0.80 × nginx (goal ≥ 1 missed"), "{missed}");
    }
}
