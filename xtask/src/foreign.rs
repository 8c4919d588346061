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
mod grpc;
mod node;
mod package;
mod program;
mod python;
mod results;
mod room;
mod suites;
mod table;
mod verdict;

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::steps::{cargo, is_root, run_command};
use room::{Room, Tests, Way};
use suites::{SUITES, Suite};
use table::{Row, Table};
use verdict::judge;

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
    let direct = room.run(&program, Way::Direct, Tests::All)?.results;
    for mode in suite.modes {
        println!("foreign: {}: under ambassador {mode}", suite.name);
        let begun = Instant::now();
        let under = room.run(&program, Way::Under(mode), Tests::All)?;
        ensure!(under.connects > 0, "none of its connections was intercepted");
        let took = begun.elapsed();
        let judged = judge(suite.name, mode, &room, &program, direct.differing(&under.results));
        let run = under.results.len();
        table.add(&Row { suite: suite.name, mode, run, judged, connects: under.connects, took });
    }
    Ok(())
}
