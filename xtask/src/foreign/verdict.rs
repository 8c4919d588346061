// SPDX-License-Identifier: Apache-2.0
//! What a test that ended otherwise under ambassador is worth: each such test is run again, on both sides.
//!
//! A test is called unsteady only if it ended in two ways without ambassador; a test that is unsteady under ambassador
//! alone is a difference.

use anyhow::Result;

use super::explained::why;
use super::program::Program;
use super::results::{Difference, Outcome};
use super::room::{Room, Tests, Way};

/// What became of a test in all its runs.
pub(super) struct Judged {
    pub(super) test: String,
    pub(super) verdict: Verdict,
    here: Vec<Outcome>,
    there: Vec<Outcome>,
}

/// What its difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is known, for this reason.
    Explained(&'static str),
    /// Without ambassador, too, the test ends in more than one way.
    Unsteady,
    /// Nobody knows why.
    Different,
}

/// Judges what has differed in a run of the whole suite, which it repeats as far as needed.
pub(super) fn judge(
    suite: &str,
    mode: &'static str,
    room: &Room,
    program: &Program,
    differing: Vec<Difference>,
) -> Vec<Judged> {
    let mut all: Vec<_> =
        differing.into_iter().map(|difference| Judged::new(suite, mode, difference)).collect();
    for _ in 0..REPEATS {
        let open = || all.iter().filter(|judged| judged.verdict == Verdict::Different);
        let names: Vec<_> = open().map(|judged| judged.test.clone()).collect();
        if names.is_empty() {
            break;
        }
        println!("foreign: {suite}: again, on both sides: {}", names.join(" "));
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let run = |way| -> Result<_> { Ok(room.run(program, way, Tests::Some(&names))?.results) };
        match (run(Way::Direct), run(Way::Under(mode))) {
            (Ok(here), Ok(there)) => {
                for judged in all.iter_mut().filter(|judged| judged.verdict == Verdict::Different) {
                    judged.add(here.of(&judged.test), there.of(&judged.test));
                }
            }
            // What does not run by itself stays different.
            (Err(error), _) | (_, Err(error)) => {
                println!("foreign: {suite}: {error:#}");
                break;
            }
        }
    }
    all
}

impl Judged {
    fn new(suite: &str, mode: &str, Difference { test, here, there }: Difference) -> Self {
        let verdict = why(suite, mode, &test).map_or(Verdict::Different, Verdict::Explained);
        Self { test, verdict, here: vec![here], there: vec![there] }
    }

    /// Another run of it on both sides. One that does not run alone has shown nothing.
    fn add(&mut self, here: Outcome, there: Outcome) {
        if here == Outcome::Absent {
            return;
        }
        self.here.push(here);
        self.there.push(there);
        if self.here.iter().any(|outcome| *outcome != self.here[0]) {
            self.verdict = Verdict::Unsteady;
        }
    }

    /// How it ended on both sides, and why.
    pub(super) fn told(&self) -> String {
        let reason = match self.verdict {
            Verdict::Explained(reason) => reason,
            Verdict::Unsteady => "unsteady",
            Verdict::Different => "unexplained",
        };
        format!(
            "{}: {}; under ambassador {} ({reason})",
            self.test,
            counted(&self.here),
            counted(&self.there)
        )
    }
}

/// Outcomes by how often they were seen.
fn counted(outcomes: &[Outcome]) -> String {
    let kinds = [Outcome::Passed, Outcome::Failed, Outcome::Skipped, Outcome::Absent];
    let count = |kind: &Outcome| outcomes.iter().filter(|outcome| *outcome == kind).count();
    let seen = kinds.iter().filter(|kind| count(kind) > 0);
    seen.map(|kind| format!("{kind:?} {}", count(kind))).collect::<Vec<_>>().join(", ")
}

/// How often a test is run again because of a difference.
const REPEATS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failed, Passed};

    #[test]
    fn only_what_ends_in_two_ways_directly_is_unsteady() {
        let differing = || Difference { test: "t".to_owned(), here: Passed, there: Failed };
        let mut judged = Judged::new("none", "", differing());
        judged.add(Passed, Passed);
        assert_eq!(judged.verdict, Verdict::Different);
        assert_eq!(judged.told(), "t: Passed 2; under ambassador Passed 1, Failed 1 (unexplained)");
        judged.add(Outcome::Absent, Passed);
        assert_eq!(judged.verdict, Verdict::Different);
        judged.add(Failed, Failed);
        assert_eq!(judged.verdict, Verdict::Unsteady);
    }
}
