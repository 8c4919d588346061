// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask fuzz [TARGET] [--seconds N]`: lets libFuzzer look for inputs that break what reads foreign bytes.
//!
//! Stable Rust is enough, because no sanitizer is used: the readers are safe Rust, and overflows and assertions panic.
//! What it finds of interest stays below `target/fuzz`; the checked-in corpus is only read, and written by `--keep`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{cargo, run_command, workspace};

/// Runs one target, or all, for so many seconds each.
pub(crate) fn run(target: Option<&str>, seconds: u32, keep: Keep) -> Result<()> {
    ensure_tool()?;
    let targets = targets()?;
    if let Some(unknown) = target.filter(|target| !targets.iter().any(|known| known == target)) {
        bail!("no target {unknown:?}; there are {}", targets.join(", "));
    }
    for name in targets.iter().filter(|name| target.is_none_or(|target| target == *name)) {
        println!("fuzz: {name} for {seconds} s");
        let found = workspace().join("target/fuzz/corpus").join(name);
        fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
        let seeds = seeds(name);
        let mut fuzz = fuzzer(name, &[&found, &seeds]);
        let time = format!("-max_total_time={seconds}");
        let limits =
            [time.as_str(), "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"];
        run_command(fuzz.args(limits))
            .with_context(|| format!("{name}: the input is below fuzz/artifacts/{name}"))?;
        if keep == Keep::WhatAddsCoverage {
            run_command(fuzzer(name, &[&seeds, &found]).args([
                "-set_cover_merge=1",
                "-use_counters=0",
                "-verbosity=0",
            ]))?;
        }
    }
    println!("fuzz: nothing was found in {} targets", target.map_or(targets.len(), |_| 1));
    Ok(())
}

/// What becomes of the inputs that were found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// They stay below `target/`.
    Nothing,
    /// Those that reach code which no input of the checked-in corpus reaches are added to it.
    WhatAddsCoverage,
}

/// The checked-in corpus of a target.
fn seeds(target: &str) -> PathBuf {
    workspace().join("fuzz/corpus").join(target)
}

/// The targets: the names of the corpora.
fn targets() -> Result<Vec<String>> {
    let entries = fs::read_dir(workspace().join("fuzz/corpus")).context("list the corpora")?;
    let mut targets: Vec<_> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    targets.sort();
    Ok(targets)
}

fn fuzzer(target: &str, corpora: &[&PathBuf]) -> Command {
    let mut command = cargo(&["fuzz", "run", "--sanitizer", "none", "--codegen-units", "16"]);
    command.args(["--features", "libfuzzer", target]).args(corpora).arg("--");
    // Link-time optimisation would take minutes and says nothing more about the readers.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    command
}

fn ensure_tool() -> Result<()> {
    let mut version = cargo(&["fuzz", "--version"]);
    let found = version.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success();
    ensure!(found, "cargo-fuzz is missing: cargo install --locked cargo-fuzz (it needs a C++ compiler)");
    Ok(())
}
