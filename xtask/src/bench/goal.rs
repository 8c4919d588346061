// SPDX-License-Identifier: Apache-2.0
//! What ambassador must reach, and what it strives for.

use std::fmt::{self, Display, Formatter};

use super::contender::Contender;

/// One line below a table.
pub(crate) struct Goal {
    /// In a few words.
    pub(crate) what: &'static str,
    /// Which value of the table it is about.
    pub(crate) of: Of,
    /// What must be.
    pub(crate) must: Bound,
    /// What would be better still.
    pub(crate) aim: Option<Bound>,
}

/// A value of ambassador's row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    /// The figure.
    Main,
    /// The figure, as a multiple of another one's.
    MainTo(Contender),
    /// The cost, as a multiple of another one's.
    CostTo(Contender),
}

/// A bound of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Not above.
    AtMost(f64),
    /// Not below.
    AtLeast(f64),
}

impl Goal {
    /// Whether `value` is what must be.
    pub(crate) fn is_met(&self, value: f64) -> bool {
        self.must.is_met(value)
    }

    /// The line for `value`.
    pub(crate) fn line(&self, value: f64) -> String {
        let said = |bound: Bound| {
            let met = if bound.is_met(value) { "met" } else { "missed" };
            format!("{bound} {met}")
        };
        let aim = self.aim.map(|aim| format!("; aim {}", said(aim))).unwrap_or_default();
        format!("- {}: {value:.2}{} (goal {}{aim})\n", self.what, self.of, said(self.must))
    }
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
        }
    }
}

impl Display for Of {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => Ok(()),
            Self::MainTo(other) | Self::CostTo(other) => write!(f, " × {}", other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_bounds_are_met() {
        let goal = Goal {
            what: "req/s",
            of: Of::MainTo(Contender::Envoy),
            must: Bound::AtLeast(1.9),
            aim: Some(Bound::AtLeast(2.1)),
        };
        assert_eq!(goal.line(2.0), "- req/s: 2.00 × Envoy (goal ≥ 1.9 met; aim ≥ 2.1 missed)\n");
        assert_eq!(goal.line(1.8), "- req/s: 1.80 × Envoy (goal ≥ 1.9 missed; aim ≥ 2.1 missed)\n");
        let goal = Goal { of: Of::Main, must: Bound::AtMost(2.0), aim: None, ..goal };
        assert_eq!(goal.line(2.0), "- req/s: 2.00 (goal ≤ 2 met)\n");
        // What was not measured is not met.
        assert!(goal.line(f64::NAN).contains("missed"));
    }
}
