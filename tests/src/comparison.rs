// SPDX-License-Identifier: Apache-2.0
//! What a program was told of its connects, directly and under ambassador, side by side.
//!
//! It exists because a truthful interceptor is defined by the direct run: the same result at the same time. The
//! programs are Python on `clients/prelude.py`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::ambassador::{Ambassador, LONG};
use crate::namespace::Namespace;
use crate::process::{Finished, Process};
use crate::pulse::Pulse;

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
    /// The latest that this machine woke anybody in the meantime.
    pub pulse: Duration,
}

/// The program that runs `script` on the prelude, for a command line.
pub fn python(script: &str) -> [String; 3] {
    ["/usr/bin/python3".to_owned(), "-c".to_owned(), format!("{PRELUDE}\n{script}")]
}

/// What a script does at its end that shows the metrics of its own ambassador, which serves them on port 9464,
/// on standard error.
pub const METRICS: &str = "
import urllib.request
sys.stderr.write(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())
";

/// What `script` on the prelude was told under `ambassador`, and how that ended.
pub fn under(ambassador: &Ambassador, namespace: &Namespace, script: &str) -> Result<(Vec<Told>, Finished)> {
    let finished = ambassador.output(namespace, &python(script))?.expect_success()?;
    Ok((told(&finished.text())?, finished))
}

/// `RESULT` of each line.
pub fn results(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.result.as_str()).collect()
}

/// What `script` on the prelude prints, directly and under `ambassador`.
pub fn printed(ambassador: &Ambassador, namespace: &Namespace, script: &str) -> Result<[String; 2]> {
    let program = python(script);
    let direct =
        Process::run(namespace.command(&program[0]).args(&program[1..]), LONG)?.expect_success()?.text();
    let under = ambassador.output(namespace, &program)?.expect_success()?.text();
    Ok([direct, under].map(|text| text.trim().to_owned()))
}

impl Comparison {
    /// Runs `script` on the prelude without and with ambassador.
    pub fn run(ambassador: &Ambassador, namespace: &Namespace, script: &str) -> Result<Self> {
        Self::of(ambassador, namespace, &python(script))
    }

    /// Runs `program`, whose lines are those of the prelude, without and with ambassador: once more where the machine stood
    /// still meanwhile, because the times say nothing then.
    pub fn of(ambassador: &Ambassador, namespace: &Namespace, program: &[String]) -> Result<Self> {
        for _ in 1..RUNS {
            let comparison = Self::once(ambassador, namespace, program)?;
            if comparison.pulse < STILL {
                return Ok(comparison);
            }
        }
        Self::once(ambassador, namespace, program)
    }

    fn once(ambassador: &Ambassador, namespace: &Namespace, program: &[String]) -> Result<Self> {
        let (name, arguments) = program.split_first().context("no program")?;
        let pulse = Pulse::feel();
        let direct = Process::run(namespace.command(name).args(arguments), LONG)?.expect_success()?;
        let under = ambassador.output(namespace, program)?.expect_success()?;
        let pulse = pulse.worst();
        let (direct, errors) = (told(&direct.text())?, under.errors());
        Ok(Self { direct, under: told(&under.text())?, errors, pulse })
    }

    /// Both runs were told the same, and no result came later or earlier than directly by more than `tolerance`, and
    /// what this machine itself adds each time that somebody on the way has to be woken.
    #[allow(clippy::print_stdout, reason = "the figures are shown by `--nocapture`, and when a test fails")]
    pub fn check(self, tolerance: Duration) -> Result<()> {
        let Self { direct, under, errors, pulse } = &self;
        ensure!(!direct.is_empty() && direct.len() == under.len(), "{self:#?}");
        // What is allowed for a slow machine has an end: beyond it a defect would pass as well.
        let most = tolerance + WAKES * (*pulse).min(STILL);
        for (direct, under) in direct.iter().zip(under) {
            let off = direct.after.abs_diff(under.after);
            println!(
                "{:40} {:14} direct {:>10?} under {:>10?} off {off:>10?} pulse {pulse:?}",
                under.case, under.result, direct.after, under.after
            );
            ensure!(
                direct.case == under.case && direct.result == under.result,
                "direct: {direct:?}\nunder ambassador: {under:?}\n{errors}"
            );
            ensure!(off <= most, "off by {off:?}, at most {most:?}: {direct:?}\n{under:?}\n{errors}");
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

/// Who is woken between a connect and its result: the proxy for the SYN, for its dial and for the handshake, and the
/// program.
const WAKES: u32 = 4;

/// A machine that wakes somebody this late measures nothing.
const STILL: Duration = Duration::from_millis(100);
/// How often a comparison is run on such a machine.
const RUNS: usize = 4;

const PRELUDE: &str = include_str!("../clients/prelude.py");
