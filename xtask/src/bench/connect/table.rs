// SPDX-License-Identifier: Apache-2.0
//! The table of the connections: medians over the rounds, and ratios that are taken within each round.

use std::fmt::Write as _;

use super::super::figures::{Figures, median, ratio};

/// A way in which connections are made, and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Without ambassador, to one destination.
    Direct,
    /// Let in at once, to one destination.
    Eager,
    /// Truthful, to one destination, which is known to accept.
    KnownGood,
    /// Without ambassador, to changing destinations.
    DirectMany,
    /// Let in at once, to changing destinations.
    EagerMany,
    /// Truthful, to changing destinations, each of which is asked.
    Truthful,
}

/// All of them, in the order of the table.
pub(crate) const WAYS: [Way; 6] =
    [Way::Direct, Way::Eager, Way::KnownGood, Way::DirectMany, Way::EagerMany, Way::Truthful];

impl Way {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "one destination: direct",
            Self::Eager => "one destination: accept-first (`connect: eager`)",
            Self::KnownGood => "one destination: truthful, known good",
            Self::DirectMany => "changing destinations: direct",
            Self::EagerMany => "changing destinations: accept-first (`connect: eager`)",
            Self::Truthful => "changing destinations: truthful, each one asked",
        }
    }

    /// Whether no destination is dialled twice in a row.
    pub(crate) fn changes(self) -> bool {
        matches!(self, Self::DirectMany | Self::EagerMany | Self::Truthful)
    }

    /// What it is compared with: the same destinations directly, and with connections let in at once.
    fn against(self) -> (Self, Self) {
        if self.changes() { (Self::DirectMany, Self::EagerMany) } else { (Self::Direct, Self::Eager) }
    }
}

/// All rounds.
#[derive(Default)]
pub(crate) struct Table {
    rounds: Vec<[Figures; WAYS.len()]>,
}

impl Table {
    /// Adds a round.
    pub(crate) fn push(&mut self, round: &[Figures; WAYS.len()]) {
        self.rounds.push(*round);
    }

    /// The medians of the first byte of the last round, to see the run go on.
    pub(crate) fn last_round(&self) -> String {
        let Some(round) = self.rounds.last() else { return String::new() };
        let microseconds: Vec<String> =
            round.iter().map(|figures| format!("{:.0}", figures.first_byte[0] / 1e3)).collect();
        format!("first byte {} µs", microseconds.join(" / "))
    }

    /// The table, and the goals below it.
    pub(crate) fn markdown(&self) -> String {
        let mut text = HEAD.to_owned();
        for way in WAYS {
            text.push_str(&self.row(way));
        }
        text.push('\n');
        for (what, value, goal) in self.goals() {
            let met = if goal.is_met(value) { "met" } else { "missed" };
            let _ = writeln!(text, "- {what}: {value:.2} (goal {goal}): {met}");
        }
        text
    }

    /// The lines of the goals that were not reached.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.goals().into_iter().filter(|(_, value, goal)| !goal.is_met(*value));
        missed.map(|(what, value, goal)| format!("- {what}: {value:.2} (goal {goal} missed)\n")).collect()
    }

    fn row(&self, way: Way) -> String {
        let rounds = self.of(way);
        let (direct, eager) = way.against();
        let (direct, eager) = (self.of(direct), self.of(eager));
        let pair = |of: fn(&Figures) -> [f64; 2]| {
            let [middle, high] = [0, 1].map(|index| median(&rounds, |figures| of(figures)[index]) / 1e3);
            format!("{middle:.0} / {high:.0}")
        };
        let told: Vec<([f64; 2], bool)> = rounds.iter().filter_map(|figures| figures.closed).collect();
        let closed = match told.first() {
            Some(_) => {
                let how =
                    if told.iter().all(|(_, refused)| *refused) { "" } else { ", after connect() lied" };
                format!("{:.0}{how}", median(&told, |(times, _)| times[0]) / 1e3)
            }
            None => "–".to_owned(),
        };
        let first_byte = |figures: &Figures| figures.first_byte[0];
        let flows = |figures: &Figures| figures.flows;
        format!(
            "| {} | {} | {} | {:.2} | {:.2} | {closed} | {:.0} | {:.2} | {:.2} |\n",
            way.name(),
            pair(|figures| figures.connect),
            pair(|figures| figures.first_byte),
            ratio(&rounds, &direct, first_byte),
            ratio(&rounds, &eager, first_byte),
            median(&rounds, flows),
            ratio(&rounds, &direct, flows),
            ratio(&rounds, &eager, flows),
        )
    }

    /// What the truthful `connect()` may cost.
    fn goals(&self) -> [(&'static str, f64, Goal); 4] {
        let against = |way: Way, of: fn(&Figures) -> f64| ratio(&self.of(way), &self.of(way.against().1), of);
        let first_byte = |figures: &Figures| figures.first_byte[0];
        let flows = |figures: &Figures| figures.flows;
        [
            ("first byte, each one asked", against(Way::Truthful, first_byte), Goal::AtMost(1.6)),
            ("first byte, known good", against(Way::KnownGood, first_byte), Goal::AtMost(1.05)),
            ("new flows per second, each one asked", against(Way::Truthful, flows), Goal::AtLeast(0.95)),
            ("new flows per second, known good", against(Way::KnownGood, flows), Goal::AtLeast(0.95)),
        ]
    }

    fn of(&self, way: Way) -> Vec<Figures> {
        let index = WAYS.iter().position(|other| *other == way);
        self.rounds.iter().filter_map(|round| round.get(index?)).copied().collect()
    }
}

/// A bound of a ratio to accept-first.
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(&self, value: f64) -> bool {
        match *self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {bound} × accept-first"),
            Self::AtLeast(bound) => write!(f, "≥ {bound} × accept-first"),
        }
    }
}

const HEAD: &str = "\
| | connect() µs p50 / p99 | first byte µs p50 / p99 | × direct | × accept-first | closed port µs p50 \
| new flows/s, 64 at once | × direct | × accept-first |
|---|---|---|---|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truthful_ways_are_compared_with_equal_destinations() {
        let round = |first_bytes: [f64; 6]| {
            first_bytes.map(|first| Figures {
                first_byte: [first, first],
                flows: 1e6 / first,
                ..Figures::default()
            })
        };
        let mut table = Table::default();
        for _ in 0..3 {
            table.push(&round([50.0, 100.0, 105.0, 60.0, 120.0, 180.0]));
        }
        let values = table.goals().map(|(_, value, _)| value);
        for (value, wanted) in values.into_iter().zip([1.5, 1.05, 1.0 / 1.5, 1.0 / 1.05]) {
            assert!((value - wanted).abs() < 1e-9, "{values:?}");
        }
        let text = table.markdown();
        assert_eq!((text.matches(": met").count(), table.missed().len()), (3, 1), "{text}");
        assert!(
            text.contains("new flows per second, each one asked: 0.67 (goal ≥ 0.95 × accept-first): missed")
        );
    }
}
