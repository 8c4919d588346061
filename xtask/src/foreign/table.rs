// SPDX-License-Identifier: Apache-2.0
//! What is told of the suites: each when it has ended, and all at the end.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use super::verdict::{Judged, Verdict};

/// A row per suite and mode.
#[derive(Default)]
pub(super) struct Table {
    rows: String,
    different: usize,
    not_run: usize,
}

/// A suite under one mode of ambassador.
pub(super) struct Row<'a> {
    pub(super) suite: &'a str,
    pub(super) mode: &'a str,
    /// How many tests were run.
    pub(super) run: usize,
    /// Those that did not end as they do directly.
    pub(super) judged: Vec<Judged>,
    /// Connects that were intercepted.
    pub(super) connects: u64,
    pub(super) took: Duration,
}

impl Table {
    /// Adds a row and tells it.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        let Row { suite, mode, run, judged, connects, took } = row;
        let count = |is: fn(&Judged) -> bool| judged.iter().filter(|judged| is(judged)).count();
        let explained = count(|judged| matches!(judged.verdict, Verdict::Explained(_)));
        let unsteady = count(|judged| judged.verdict == Verdict::Unsteady);
        let different = count(|judged| judged.verdict == Verdict::Different);
        let equal = run.saturating_sub(judged.len());
        let mode = if mode.is_empty() { "no configuration" } else { mode };
        let seconds = took.as_secs();
        let row = format!(
            "{suite:10} {mode:36} {run:6} {equal:6} {explained:9} {unsteady:8} {different:9} {connects:8} {seconds:7}\n"
        );
        self.rows.push_str(&row);
        print!("{}\n{row}", heading());
        for judged in judged {
            println!("    {}", judged.told());
        }
        self.different += different;
    }

    /// Tells of a suite that could not be run, or not to its end.
    pub(super) fn failed(&mut self, suite: &str, error: &anyhow::Error) {
        println!("foreign: {suite}: NOT RUN: {error:#}");
        // Writing to a string does not fail.
        let _ = writeln!(self.rows, "{suite:10} not run: {error:#}");
        self.not_run += 1;
    }

    /// Tells all, and fails if anything differs.
    pub(super) fn close(self) -> Result<()> {
        print!("\n{}\n{}", heading(), self.rows);
        match (self.different, self.not_run) {
            (0, 0) => Ok(()),
            (0, suites) => bail!("{suites} suites did not run"),
            (tests, suites) => {
                bail!("{tests} tests differ and nobody knows why; {suites} suites did not run")
            }
        }
    }
}

fn heading() -> String {
    format!(
        "{:10} {:36} {:>6} {:>6} {:>9} {:>8} {:>9} {:>8} {:>7}",
        "suite", "mode", "run", "equal", "explained", "unsteady", "different", "connects", "seconds"
    )
}
