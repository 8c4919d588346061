// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask soak`: the hostile suites at full length, in ten minutes at most.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::setup;
use crate::steps::{built, cargo, is_root, run_command, workspace};

/// Builds, then runs the suite; it says how far it has come, and the last line says how it ended.
pub(crate) fn run() -> Result<()> {
    if !is_root() {
        bail!("the soak tests load kernel programs and make network namespaces: sudo -E cargo xtask soak");
    }
    setup::run()?;
    run_command(&mut cargo(&["build", "--quiet", "--package", "ambassador"]))?;
    let suite = ["test", "--package", "ambassador-tests", "--features", "soak", "--test", "soak"];
    run_command(cargo(&suite).arg("--no-run"))?;
    let started = Instant::now();
    // timeout(1) ends the whole group of processes.
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=10", &LIMIT_SECONDS.to_string()]).arg(cargo(&suite).get_program());
    bounded.args(suite).args(["--", "--test-threads=1", "--nocapture"]).current_dir(workspace());
    let outcome = run_command(bounded.env("AMBASSADOR_BIN", built("ambassador")));
    let ended = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("soak: {ended} after {:.0?} (the limit is {LIMIT_SECONDS} s)", started.elapsed());
    outcome
}

const LIMIT_SECONDS: u32 = 600;
