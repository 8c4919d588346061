// SPDX-License-Identifier: Apache-2.0
//! What a program was told of its connects, directly and under ambassador, side by side.
//!
//! It exists because a truthful interceptor is defined by the direct run: the same result at the same time. The
//! programs are Python on `clients/prelude.py`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::ambassador::{Ambassador, LONG};
use crate::namespace::Namespace;
use crate::process::Process;

/// What one connect was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Which connect.
    pub case: String,
    /// `connected`, the name of an errno, or `own-timeout`.
    pub result: String,
    /// After how long.
    pub after: Duration,
}

/// Both runs of one program.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// Without ambassador.
    pub direct: Vec<Told>,
    /// Under ambassador.
    pub under: Vec<Told>,
    /// What ambassador wrote to stderr.
    pub errors: String,
    runs: Runs<'a>,
}

/// What is run.
#[derive(Debug)]
struct Runs<'a> {
    ambassador: Ambassador,
    namespace: &'a Namespace,
    program: Vec<String>,
}

/// The program that runs `script` on the prelude, for a command line.
pub fn python(script: &str) -> [String; 3] {
    ["/usr/bin/python3".to_owned(), "-c".to_owned(), format!("{PRELUDE}\n{script}")]
}

impl<'a> Comparison<'a> {
    /// Runs `script` on the prelude without and with ambassador.
    pub fn run(ambassador: Ambassador, namespace: &'a Namespace, script: &str) -> Result<Self> {
        Self::of(ambassador, namespace, &python(script))
    }

    /// Runs `program`, whose lines are those of the prelude, without and with ambassador.
    pub fn of(ambassador: Ambassador, namespace: &'a Namespace, program: &[String]) -> Result<Self> {
        Runs { ambassador, namespace, program: program.to_vec() }.compare()
    }

    /// Both runs were told the same, and no result came later or earlier than directly by more than `tolerance`.
    ///
    /// A busy machine delays now this case and now that one, and a defect the same one each time: what was not on time
    /// is run again, a few times at most, and must be on time once. A result must never differ.
    #[allow(clippy::print_stdout, reason = "the figures are shown by `--nocapture`, and when a test fails")]
    pub fn check(self, tolerance: Duration) -> Result<()> {
        ensure!(!self.direct.is_empty(), "{self:#?}");
        let want: Vec<(String, String)> =
            self.direct.iter().map(|told| (told.case.clone(), told.result.clone())).collect();
        let mut off: Vec<usize> = (0..want.len()).collect();
        let mut comparison = self;
        for run in 1.. {
            let Self { direct, under, errors, runs } = comparison;
            ensure!(
                direct.len() == want.len() && under.len() == want.len(),
                "{direct:#?}\n{under:#?}\n{errors}"
            );
            for ((case, result), under) in want.iter().zip(&under) {
                ensure!(
                    *case == under.case && *result == under.result,
                    "direct: {case} {result}\nunder ambassador: {under:?}\n{errors}"
                );
            }
            off.retain(|&nth| direct[nth].after.abs_diff(under[nth].after) > tolerance);
            for (direct, under) in direct.iter().zip(&under) {
                let (result, direct, under_) = (&under.result, direct.after, under.after);
                println!("{:40} {result:14} direct {direct:>10?} under {under_:>10?}", under.case);
            }
            if off.is_empty() {
                break;
            }
            let late: Vec<_> = off.iter().map(|&nth| (&direct[nth], &under[nth])).collect();
            ensure!(run < RUNS, "not at the time of the direct run, {run} times: {late:#?}\n{errors}");
            comparison = runs.compare()?;
        }
        Ok(())
    }

    /// The direct run was told what the case is about; else the comparison would prove nothing.
    pub fn check_direct(&self, want: &[(&str, &str)]) -> Result<()> {
        for (case, result) in want {
            let told = self.direct.iter().find(|told| told.case == *case);
            ensure!(told.is_some_and(|told| told.result == *result), "{case} {result}: {:#?}", self.direct);
        }
        Ok(())
    }
}

impl<'a> Runs<'a> {
    fn compare(self) -> Result<Comparison<'a>> {
        let mut command = self.namespace.command(&self.program[0]);
        let direct = Process::run(command.args(&self.program[1..]), LONG)?.expect_success()?;
        let under = self.ambassador.output(self.namespace, &self.program)?.expect_success()?;
        let (direct, errors) = (told(&direct.text())?, under.errors());
        Ok(Comparison { direct, under: told(&under.text())?, errors, runs: self })
    }
}

/// Reads lines of `CASE RESULT MILLISECONDS`.
pub fn told(text: &str) -> Result<Vec<Told>> {
    let line = |line: &str| -> Result<Told> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[case, result, milliseconds] = words.as_slice() else { anyhow::bail!("no result: {line:?}") };
        let seconds = milliseconds.parse::<f64>().with_context(|| line.to_owned())? / 1000.0;
        Ok(Told { case: case.to_owned(), result: result.to_owned(), after: Duration::from_secs_f64(seconds) })
    };
    text.lines().map(line).collect()
}

/// How often a program is run at most until each of its cases was on time.
const RUNS: u32 = 4;

const PRELUDE: &str = include_str!("../clients/prelude.py");
