// SPDX-License-Identifier: Apache-2.0
//! What became of each test of a run, from the reports of its test runner.

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

/// A test that ends in two ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) test: String,
    pub(super) here: Outcome,
    pub(super) there: Outcome,
}

/// The outcomes of a run by the names of its tests.
#[derive(Debug, Default)]
pub(super) struct Results(BTreeMap<String, Outcome>);

impl Results {
    /// Reads a report in the XML that runners of Python share: the few elements that matter, in their order.
    pub(super) fn of_junit(xml: &str) -> Result<Self> {
        let mut results = BTreeMap::new();
        for case in xml.split("<testcase ").skip(1) {
            let (attributes, rest) = case.split_once('>').unwrap_or((case, ""));
            let attribute = |name: &str| {
                let at = format!(" {attributes}").find(&format!(" {name}=\""))? + name.len() + 2;
                attributes.get(at..)?.split('"').next()
            };
            let Some(name) = attribute("name") else { continue };
            let outcome = if rest.contains("<failure") || rest.contains("<error") {
                Outcome::Failed
            } else if rest.contains("<skipped") {
                Outcome::Skipped
            } else {
                Outcome::Passed
            };
            let class = attribute("classname").map(|class| format!("{class}.")).unwrap_or_default();
            let name =
                ENTITIES.iter().fold(class + name, |name, (entity, letter)| name.replace(entity, letter));
            // Tests of one name are one test, which fails if one of them does.
            let of_name = results.entry(name).or_insert(outcome);
            *of_name = if outcome == Outcome::Failed { outcome } else { *of_name };
        }
        Self::some(results)
    }

    /// Reads what `go test -v` prints.
    pub(super) fn of_go(text: &str) -> Result<Self> {
        let mut results = BTreeMap::new();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("--- ") else { continue };
            let mut words = rest.split_whitespace();
            let outcome = match words.next() {
                Some("PASS:") => Outcome::Passed,
                Some("FAIL:") => Outcome::Failed,
                Some("SKIP:") => Outcome::Skipped,
                _ => continue,
            };
            results.extend(words.next().map(|name| (name.to_owned(), outcome)));
        }
        Self::some(results)
    }

    /// Reads what curl's `runtests.pl` prints: a test's number, and its result there or on a later line.
    pub(super) fn of_curl(text: &str) -> Result<Self> {
        let mut results = BTreeMap::new();
        let mut current: Option<String> = None;
        for line in text.lines() {
            let begun = line.strip_prefix("test ").and_then(|rest| rest.split_once("..."));
            if let Some((number, _)) = begun {
                current = Some(number.to_owned());
                results.insert(number.to_owned(), Outcome::Failed);
            }
            let said = begun.map_or(line, |(_, rest)| rest);
            if let Some(number) = current.take_if(|_| said.starts_with("OK ")) {
                results.insert(number, Outcome::Passed);
            }
        }
        Self::some(results)
    }

    /// Reads the Test Anything Protocol.
    pub(super) fn of_tap(text: &str) -> Result<Self> {
        let mut results = BTreeMap::new();
        for line in text.lines() {
            let (outcome, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
                (Some(rest), _) if rest.contains("# skip") => (Outcome::Skipped, rest),
                (Some(rest), _) => (Outcome::Passed, rest),
                (_, Some(rest)) => (Outcome::Failed, rest),
                (None, None) => continue,
            };
            results.extend(rest.split_whitespace().nth(1).map(|name| (name.to_owned(), outcome)));
        }
        Self::some(results)
    }

    fn some(results: BTreeMap<String, Outcome>) -> Result<Self> {
        ensure!(!results.is_empty(), "the report has no test");
        Ok(Self(results))
    }

    /// How many tests there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What became of `test`.
    pub(super) fn of(&self, test: &str) -> Outcome {
        self.0.get(test).copied().unwrap_or(Outcome::Absent)
    }

    /// The tests whose outcome is another one in `other`.
    pub(super) fn differing(&self, other: &Self) -> Vec<Difference> {
        let only_there = other.0.keys().filter(|name| !self.0.contains_key(*name));
        let names = self.0.keys().chain(only_there);
        let all =
            names.map(|name| Difference { test: name.clone(), here: self.of(name), there: other.of(name) });
        all.filter(|difference| difference.here != difference.there).collect()
    }
}

/// How XML writes letters in attributes; that of `&` comes last, since others begin with it.
const ENTITIES: [(&str, &str); 5] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_differs_or_is_missing_is_found() {
        let case = |name: &str, inside: &str| {
            format!("<testcase classname=\"t\" name=\"{name}\" time=\"1\">{inside}</testcase>")
        };
        let one = [case("a", ""), case("b", "<skipped>x</skipped>"), case("c", "")].concat();
        let other =
            [case("a", "<failure>x</failure>"), case("b", "<skipped>x</skipped>"), case("d", "")].concat();
        let (one, other) = (Results::of_junit(&one).expect("read"), Results::of_junit(&other).expect("read"));
        let want = [
            ("t.a", Outcome::Passed, Outcome::Failed),
            ("t.c", Outcome::Passed, Outcome::Absent),
            ("t.d", Outcome::Absent, Outcome::Passed),
        ];
        let want = want.map(|(test, here, there)| Difference { test: test.to_owned(), here, there });
        assert_eq!(one.differing(&other), want);
        assert!(Results::of_junit("").is_err());
    }

    #[test]
    fn the_test_anything_protocol_is_read() {
        let tap = "TAP version 13\n1..3\nok 1 p/a\n  ---\n  ...\nok 2 p/b # skip no IPv6\nnot ok 3 p/c\n";
        let want = [("p/a", Outcome::Passed), ("p/b", Outcome::Skipped), ("p/c", Outcome::Failed)];
        let tap = Results::of_tap(tap).expect("read");
        assert_eq!(tap.0, want.map(|(name, outcome)| (name.to_owned(), outcome)).into());
    }

    #[test]
    fn names_without_a_class_and_those_of_go_and_curl_are_read() {
        let junit =
            Results::of_junit("<testcase name=\"test.a.B.c\" status=\"run\"></testcase>").expect("read");
        let go = "=== RUN   TestA\n    --- SKIP: TestA/b (0.00s)\n--- PASS: TestA (0.10s)\nPASS\n";
        let go = Results::of_go(go).expect("read");
        assert_eq!(junit.0, BTreeMap::from([("test.a.B.c".to_owned(), Outcome::Passed)]));
        let want = [("TestA", Outcome::Passed), ("TestA/b", Outcome::Skipped)];
        assert_eq!(go.0, want.map(|(name, outcome)| (name.to_owned(), outcome)).into());
        assert!(Results::of_go("PASS").is_err());
        let curl =
            "test 0001...OK (1 out of 3)\ntest 0002...Killed\nOK (2 out of 3)\ntest 0003...\n 3: FAILED!\n";
        let curl = Results::of_curl(curl).expect("read");
        let want = [("0001", Outcome::Passed), ("0002", Outcome::Passed), ("0003", Outcome::Failed)];
        assert_eq!(curl.0, want.map(|(name, outcome)| (name.to_owned(), outcome)).into());
    }
}
