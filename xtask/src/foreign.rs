// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask foreign [SUITE]`: other people's test suites, directly and through ambassador, test by test.
//!
//! It exists because nobody who built ambassador has written what they ask for. Their clients and servers share a
//! process, so loopback is intercepted for them, and each run proves by the kernel's counters that it was. What may
//! differ is listed with its reason; anything else fails the verb, and so does a suite that cannot be had.

mod curl;
mod explained;
mod fetch;
mod go;
mod python;
mod results;
mod room;
mod suites;

use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};

use crate::steps::{cargo, is_root, run_command};
use explained::why;
use results::{Difference, Results};
use room::{Room, Way};
use suites::{SUITES, Suite};

/// Runs one suite, or all, in every mode.
pub(crate) fn run(suite: Option<&str>) -> Result<()> {
    ensure!(is_root(), "the suites run under ambassador in network namespaces: sudo -E cargo xtask foreign");
    let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
    let chosen: Vec<_> = SUITES.iter().filter(|known| suite.is_none_or(|name| name == known.name)).collect();
    ensure!(!chosen.is_empty(), "no such suite; there are: {}", names.join(" "));
    run_command(&mut cargo(&["build", "--quiet", "--package", "ambassador"]))?;
    let mut table = Table::default();
    for suite in chosen {
        if let Err(error) = compare(suite, &mut table) {
            table.failed(suite.name, &error);
        }
    }
    table.close()
}

/// Runs a suite directly and in each of its modes.
fn compare(suite: &Suite, table: &mut Table) -> Result<()> {
    let room = Room::new(suite.name)?;
    let program = suite.program()?;
    println!("foreign: {}: {}, directly", suite.name, program.version);
    let mut direct = room.run(&program, Way::Direct)?.results;
    for mode in suite.modes {
        println!("foreign: {}: under ambassador {mode}", suite.name);
        let under = room.run(&program, Way::Under(mode))?;
        ensure!(under.connects > 0, "none of its connections was intercepted");
        let mut differing = direct.differing(&under.results);
        let mut unsteady = 0;
        // Not every test of others always ends in the same way: what differs must do so again.
        for _ in 0..REPEATS {
            if differing.iter().all(|difference| why(suite.name, mode, &difference.test).is_some()) {
                break;
            }
            direct = room.run(&program, Way::Direct)?.results;
            let again = direct.differing(&room.run(&program, Way::Under(mode))?.results);
            let before = differing.len();
            differing.retain(|difference| again.iter().any(|again| again.test == difference.test));
            unsteady += before - differing.len();
        }
        table.add(suite.name, mode, &under.results, &differing, unsteady, under.connects);
    }
    Ok(())
}

/// What is told at the end.
#[derive(Default)]
struct Table {
    rows: String,
    different: usize,
    not_run: usize,
}

impl Table {
    fn add(
        &mut self,
        suite: &str,
        mode: &str,
        results: &Results,
        differing: &[Difference],
        unsteady: usize,
        connects: u64,
    ) {
        let is_explained = |difference: &&Difference| why(suite, mode, &difference.test).is_some();
        let explained = differing.iter().filter(is_explained).count();
        let different = differing.len() - explained;
        let tests = results.len();
        let same = tests.saturating_sub(differing.len() + unsteady);
        let shown = if mode.is_empty() { "no configuration" } else { mode };
        let row = format!(
            "{suite:10} {shown:36} {tests:6} {same:6} {unsteady:8} {explained:9} {different:9} {connects:8}\n"
        );
        self.rows.push_str(&row);
        print!("{}\n{row}", heading());
        for Difference { test, here, there } in differing {
            let reason = why(suite, mode, test).unwrap_or("unexplained");
            println!("    {test}: {here:?}, under ambassador {there:?} ({reason})");
        }
        self.different += different;
    }

    fn failed(&mut self, suite: &str, error: &anyhow::Error) {
        println!("foreign: {suite}: NOT RUN: {error:#}");
        // Writing to a string does not fail.
        let _ = writeln!(self.rows, "{suite:10} not run: {error:#}");
        self.not_run += 1;
    }

    fn close(self) -> Result<()> {
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
        "{:10} {:36} {:>6} {:>6} {:>8} {:>9} {:>9} {:>8}",
        "suite", "mode", "tests", "same", "unsteady", "explained", "different", "connects"
    )
}

/// How often a suite is run again because of a difference.
const REPEATS: usize = 2;
