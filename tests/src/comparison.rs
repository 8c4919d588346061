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
pub struct Comparison {
    /// Without ambassador.
    pub direct: Vec<Told>,
    /// Under ambassador.
    pub under: Vec<Told>,
    /// What ambassador wrote to stderr.
    pub errors: String,
}

/// The program that runs `script` on the prelude, for a command line.
pub fn python(script: &str) -> [String; 3] {
    ["/usr/bin/python3".to_owned(), "-c".to_owned(), format!("{PRELUDE}\n{script}")]
}

impl Comparison {
    /// Runs `script` on the prelude without and with ambassador.
    pub fn run(ambassador: &Ambassador, namespace: &Namespace, script: &str) -> Result<Self> {
        Self::of(ambassador, namespace, &python(script))
    }

    /// Runs `program`, whose lines are those of the prelude, without and with ambassador.
    pub fn of(ambassador: &Ambassador, namespace: &Namespace, program: &[String]) -> Result<Self> {
        let mut command = namespace.command(&program[0]);
        let direct = Process::run(command.args(&program[1..]), LONG)?.expect_success()?;
        let under = ambassador.output(namespace, program)?.expect_success()?;
        Ok(Self { direct: told(&direct.text())?, under: told(&under.text())?, errors: under.errors() })
    }

    /// Both runs were told the same, and no result came later or earlier than directly by more than `tolerance`.
    #[allow(clippy::print_stdout, reason = "the figures are shown by `--nocapture`, and when a test fails")]
    pub fn check(&self, tolerance: Duration) -> Result<()> {
        ensure!(!self.direct.is_empty() && self.direct.len() == self.under.len(), "{self:#?}");
        for (direct, under) in self.direct.iter().zip(&self.under) {
            let same = direct.case == under.case && direct.result == under.result;
            ensure!(
                same && direct.after.abs_diff(under.after) <= tolerance,
                "direct: {direct:?}\nunder ambassador: {under:?}\n{}",
                self.errors
            );
            let (result, direct, under_) = (&direct.result, direct.after, under.after);
            println!("{:40} {result:14} direct {direct:>10?} under {under_:>10?}", under.case);
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

const PRELUDE: &str = include_str!("../clients/prelude.py");
