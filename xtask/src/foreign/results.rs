// SPDX-License-Identifier: Apache-2.0
//! What became of each test of a run, from its report in the XML that test runners share.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// What became of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It passed.
    Passed,
    /// It failed, in an assertion or otherwise.
    Failed,
    /// It was left out.
    Skipped,
    /// It did not run.
    Absent,
}

/// The outcomes of a run by the names of its tests.
#[derive(Debug, Default)]
pub(super) struct Results(BTreeMap<String, Outcome>);

impl Results {
    /// Reads a report: the few elements that matter, in their order.
    pub(super) fn read(xml: &str) -> Result<Self> {
        let mut results = BTreeMap::new();
        for case in xml.split("<testcase ").skip(1) {
            let Some((_, rest)) = case.split_once("name=\"") else { continue };
            let Some((name, rest)) = rest.split_once('"') else { continue };
            let outcome = if rest.contains("<failure") || rest.contains("<error") {
                Outcome::Failed
            } else if rest.contains("<skipped") {
                Outcome::Skipped
            } else {
                Outcome::Passed
            };
            results.insert(name.to_owned(), outcome);
        }
        ensure!(!results.is_empty(), "the report has no test");
        Ok(Self(results))
    }

    /// How many tests there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The tests whose outcome is another one in `other`: name, outcome here, outcome there.
    pub(super) fn differing(&self, other: &Self) -> Vec<(String, Outcome, Outcome)> {
        let of = |results: &Self, name: &str| results.0.get(name).copied().unwrap_or(Outcome::Absent);
        let only_there = other.0.keys().filter(|name| !self.0.contains_key(*name));
        let names = self.0.keys().chain(only_there);
        let outcomes = names.map(|name| (name.clone(), of(self, name), of(other, name)));
        outcomes.filter(|(_, here, there)| here != there).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_differs_or_is_missing_is_found() {
        let case =
            |name: &str, inside: &str| format!("<testcase name=\"{name}\" time=\"1\">{inside}</testcase>");
        let one = [case("a", ""), case("b", "<skipped>x</skipped>"), case("c", "")].concat();
        let other =
            [case("a", "<failure>x</failure>"), case("b", "<skipped>x</skipped>"), case("d", "")].concat();
        let (one, other) = (Results::read(&one).expect("read"), Results::read(&other).expect("read"));
        let want = [
            ("a", Outcome::Passed, Outcome::Failed),
            ("c", Outcome::Passed, Outcome::Absent),
            ("d", Outcome::Absent, Outcome::Passed),
        ];
        let want = want.map(|(name, here, there)| (name.to_owned(), here, there));
        assert_eq!(one.differing(&other), want);
        assert!(Results::read("").is_err());
    }
}
