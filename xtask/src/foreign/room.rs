// SPDX-License-Identifier: Apache-2.0
//! Where a suite runs: a network namespace of its own, with the server that it needs, directly or under ambassador.
//!
//! Loopback is intercepted there, because the suites dial servers of their own process; the kernel's count of
//! redirected connects is read at the end, so that no suite passes by.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::results::Results;
use crate::steps::{built, workspace};

/// What is run, and how its results are read.
pub(super) struct Program {
    /// Its name and version, for the reader.
    pub(super) version: String,
    /// The command.
    pub(super) command: Vec<String>,
    /// Its environment beside the caller's.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Its directory.
    pub(super) directory: PathBuf,
    /// Lines of a shell that start the server that it needs, and leave its process in `$server`.
    pub(super) server: &'static str,
    /// Its report.
    pub(super) report: Report,
}

/// How results are told.
#[derive(Clone, Copy)]
pub(super) enum Report {
    /// In the XML that runners of Python share; the command gets the file as its last argument.
    Junit,
    /// By `go test -v`.
    Go,
    /// By curl's `runtests.pl`.
    Curl,
}

/// How a suite is run.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Without ambassador.
    Direct,
    /// With it, and these options.
    Under(&'static str),
}

/// What a run has shown.
pub(super) struct Run {
    pub(super) results: Results,
    /// Connects that the kernel has redirected.
    pub(super) connects: u64,
}

/// The files of the latest run of a suite.
pub(super) struct Room(PathBuf);

impl Room {
    /// Makes it.
    pub(super) fn new(suite: &str) -> Result<Self> {
        let room = Self(workspace().join("target/foreign").join(suite));
        fs::create_dir_all(&room.0)?;
        fs::write(room.file("loopback.yaml"), CONFIGURATION)?;
        Ok(room)
    }

    /// Runs `program` to its end, or to the limit.
    pub(super) fn run(&self, program: &Program, way: Way) -> Result<Run> {
        let (report, output, metrics) =
            (self.file("report.xml"), self.file("output.txt"), self.file("metrics.txt"));
        for old in [&report, &output, &metrics] {
            let _ = fs::remove_file(old);
        }
        let mut command = Command::new("unshare");
        let script = NAMESPACE.replace("SERVER", program.server);
        command.args(["--net", "--", "nice", "sh", "-c", &script, "sh"]);
        if let Way::Under(options) = way {
            command.arg(built("ambassador")).args(["run", "-q", "-c"]).arg(self.file("loopback.yaml"));
            command.args(options.split_whitespace()).args(["--", "sh", "-c", ASK]).arg(&metrics);
        }
        command.args(["timeout", "--kill-after=10", LIMIT]).args(&program.command);
        if matches!(program.report, Report::Junit) {
            command.arg(&report);
        }
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&program.directory).stdin(Stdio::null());
        let file = File::create(&output)?;
        command.stdout(file.try_clone()?).stderr(file);
        // Tests that fail directly, too, are no difference.
        let status = command.status().context("start unshare")?;
        let told = || format!("{status}, and no report: see {}", output.display());
        let results = match program.report {
            Report::Junit => Results::of_junit(&fs::read_to_string(&report).with_context(told)?),
            Report::Go => Results::of_go(&String::from_utf8_lossy(&fs::read(&output)?)),
            Report::Curl => Results::of_curl(&String::from_utf8_lossy(&fs::read(&output)?)),
        };
        let connects = match way {
            Way::Direct => 0,
            Way::Under(_) => redirected(&metrics).with_context(told)?,
        };
        Ok(Run { results: results.with_context(told)?, connects })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// How many connects the kernel has redirected, by the page of metrics in `file`.
fn redirected(file: &Path) -> Result<u64> {
    let page = fs::read_to_string(file)?;
    let count = page.lines().find_map(|line| line.strip_prefix(REDIRECTED));
    Ok(count.context("no count of redirected connects")?.trim().parse()?)
}

const CONFIGURATION: &str = "\
version: v1
intercept: {loopback: true, exclude: {ports: [9464]}}
telemetry: {metrics: {listen: \"127.0.0.1:9464\"}}
";
const REDIRECTED: &str = "ambassador_bpf_connects_total{verdict=\"redirected\"}";
const NAMESPACE: &str = r#"
ip link set lo up
SERVER
"$@"
code=$?
[ -z "$server" ] || { kill -INT "$server"; wait "$server"; } 2> /dev/null
exit $code
"#;
/// The first argument is the file in which the metrics go.
const ASK: &str = r#"
"$@"
code=$?
curl --silent --max-time 10 --output "$0" http://127.0.0.1:9464/metrics
exit $code
"#;
/// How long a run may take, in seconds.
const LIMIT: &str = "900";
