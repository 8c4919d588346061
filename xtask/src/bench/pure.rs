// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench pure`: instructions of the pure parts that every request passes, counted by callgrind.
//!
//! It guards what was won: a count does not depend on what else the machine does, so one that is beyond its limit fails
//! the verb. The work itself is in `ambassador/benches/pure.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ambassador_tests::Process;
use anyhow::{Context as _, Result, ensure};

use super::benchmarks;
use crate::setup;
use crate::steps::cargo;

/// The name in the command, and of its marks.
pub(crate) const SCENARIO: &str = "pure";

/// Counts, prints the table, writes it down, and fails if a limit is exceeded.
pub(crate) fn run() -> Result<()> {
    let counted = count()?;
    let machine = benchmarks::machine()?;
    benchmarks::write(SCENARIO, &format!("`cargo xtask bench {SCENARIO}`: {machine}\n\n{}", counted.table))?;
    counted.check()
}

/// Counts, prints the table, and fails if a limit is exceeded.
pub(super) fn watch() -> Result<()> {
    count()?.check()
}

/// What was counted.
struct Counted {
    table: String,
    /// What is beyond its limit.
    beyond: Vec<String>,
}

impl Counted {
    fn check(&self) -> Result<()> {
        ensure!(self.beyond.is_empty(), "slower than it was: {}", self.beyond.join("; "));
        Ok(())
    }
}

fn count() -> Result<Counted> {
    setup::run()?;
    let program = build()?;
    let mut table = HEAD.to_owned();
    let mut beyond = Vec::new();
    for (name, what, limit) in WORK {
        let (few, many) = (instructions(&program, name, FEW)?, instructions(&program, name, MANY)?);
        let each = many.saturating_sub(few) / u64::from(MANY - FEW);
        let _ = writeln!(table, "| {what} | {each} | {limit} |");
        if each > limit {
            beyond.push(format!("{name}: {each} instructions, {limit} at most"));
        }
    }
    println!("\n{table}");
    Ok(Counted { table, beyond })
}

/// Builds the bench of the library as it is released, and tells where it is.
fn build() -> Result<PathBuf> {
    println!("bench: building the pure parts for release …");
    let words = ["bench", "--quiet", "--package=ambassador", "--bench=pure", "--no-run"];
    let mut command = cargo(&words);
    let built = Process::run(command.arg("--message-format=json"), BUILD)?.expect_success()?.text();
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_pure = message["target"]["name"] == "pure";
        message["executable"].as_str().filter(|_| is_pure).map(PathBuf::from)
    };
    built.lines().find_map(executable).context("cargo did not say where the bench is")
}

fn instructions(program: &Path, name: &str, iterations: u32) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let run = Process::run(valgrind.args([name, &iterations.to_string()]), COUNT)?.expect_success()?;
    counted(&run.errors()).with_context(|| format!("valgrind said {}", run.errors()))
}

/// The count in callgrind's closing words.
fn counted(text: &str) -> Option<u64> {
    let (_, number) = text.lines().find_map(|line| line.split_once("Collected :"))?;
    number.trim().parse().ok()
}

/// The work, what it is, and the most instructions that it may take.
const WORK: [(&str, &str, u64); 7] = [
    ("request-head", "a browser's request head (390 bytes, 7 lines) is parsed", 4_200),
    ("reply-head", "a reply's head (150 bytes, 5 lines) is parsed", 2_800),
    ("header", "a header line that is not there is looked for in that reply", 50),
    ("chunked", "a body of 16 chunks of 1 KiB is followed to its end", 4_100),
    ("route", "the last of eight routes by name is matched", 2_000),
    ("breaker", "a closed breaker admits a call and takes its success", 60),
    ("budget", "a request is counted for the budget of retries", 60),
];
const HEAD: &str = "| | instructions | at most |\n|---|---|---|\n";
const FEW: u32 = 1000;
const MANY: u32 = 5000;
const BUILD: Duration = Duration::from_mins(15);
const COUNT: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        let text =
            "==7== Events    : Ir\n==7== Collected : 77487096\n==7==\n==7== I   refs:      77,487,096\n";
        assert_eq!(counted(text), Some(77_487_096));
        assert_eq!(counted("==7== nothing"), None);
    }
}
