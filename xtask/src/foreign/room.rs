// SPDX-License-Identifier: Apache-2.0
//! Where a suite runs: a network namespace of its own, with the server that it needs, directly or under ambassador.
//!
//! Loopback is intercepted there, because the suites dial servers of their own process; the kernel's count of
//! redirected connects is read at the end, so that no suite passes by. Each run ends within a bound, with all that it
//! has started, and tells how far it is.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ambassador_tests::{Process, wait};
use anyhow::{Context, Result};

use super::program::{Program, Report};
use super::results::Results;
use crate::steps::{built, workspace};

/// How a suite is run.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Without ambassador.
    Direct,
    /// With it, and these options.
    Under(&'static str),
}

impl Way {
    /// The name of the files of a run, without their ends.
    fn name(self, tests: Tests<'_>) -> String {
        let way = match self {
            Self::Direct => "direct".to_owned(),
            Self::Under(options) => format!("under {options}").trim_end().replace(' ', "-"),
        };
        match tests {
            Tests::All => way,
            Tests::Some(_) => way + ".again",
        }
    }
}

/// Which of its tests are run.
#[derive(Clone, Copy)]
pub(super) enum Tests<'a> {
    /// All of them.
    All,
    /// Those of these names.
    Some(&'a [&'a str]),
}

/// What a run has shown.
pub(super) struct Run {
    pub(super) results: Results,
    /// Connects that the kernel has redirected.
    pub(super) connects: u64,
}

/// The files of the latest run of a suite.
pub(super) struct Room {
    suite: &'static str,
    directory: PathBuf,
    ambassador: PathBuf,
}

impl Room {
    /// Makes it.
    pub(super) fn new(suite: &'static str) -> Result<Self> {
        let directory = workspace().join("target/foreign").join(suite);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("loopback.yaml"), CONFIGURATION)?;
        // A build while the suite runs must not change what is run.
        let (ambassador, new) = (directory.join("ambassador"), directory.join("ambassador.new"));
        fs::copy(built("ambassador"), &new).context("copy the program")?;
        fs::rename(&new, &ambassador)?;
        Ok(Self { suite, directory, ambassador })
    }

    /// Runs `tests` of `program` to their end, or to the limit.
    pub(super) fn run(&self, program: &Program, way: Way, tests: Tests<'_>) -> Result<Run> {
        let name = way.name(tests);
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        let (report, output, metrics) = (file("xml"), file("txt"), file("metrics"));
        for old in [&report, &output, &metrics] {
            let _ = fs::remove_file(old);
        }
        let mut command = Command::new("unshare");
        let script = NAMESPACE.replace("SERVER", program.server);
        command.args(["--net", "--", "nice", "sh", "-c", &script, "sh"]).arg(&output);
        if let Way::Under(options) = way {
            command.arg(&self.ambassador).args(["run", "-q", "-c"]).arg(self.file("loopback.yaml"));
            command.args(options.split_whitespace()).args(["--", "sh", "-c", ASK]).arg(&metrics);
        }
        command.args(ALONE).args(["timeout", "--kill-after=10", &LIMIT.as_secs().to_string()]);
        command.args(program.command(tests));
        if matches!(program.report, Report::Junit) {
            command.arg(&report);
        }
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&program.directory);
        let mut process = Process::spawn(&mut command)?;
        let mut seconds = 0;
        wait::until(&format!("end of {}", self.suite), LIMIT + GRACE, || {
            let passed = process.elapsed().as_secs();
            if passed >= seconds + PACE {
                seconds = passed;
                println!("foreign: {}: {passed} s: {}", self.suite, last_line(&output));
            }
            Ok((!process.is_running()).then_some(()))
        })?;
        // Tests that fail directly, too, are no difference.
        let status = process.finish(GRACE)?.status;
        let told = || format!("{status}, and no report: see {}", output.display());
        let results = match program.report {
            Report::Junit => Results::of_junit(&fs::read_to_string(&report).with_context(told)?),
            Report::Go => Results::of_go(&String::from_utf8_lossy(&fs::read(&output)?)),
            Report::Curl => Results::of_curl(&String::from_utf8_lossy(&fs::read(&output)?)),
            Report::Tap => Results::of_tap(&String::from_utf8_lossy(&fs::read(&output)?)),
        };
        let connects = match way {
            Way::Direct => 0,
            Way::Under(_) => redirected(&metrics).with_context(told)?,
        };
        Ok(Run { results: results.with_context(told)?, connects })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// How many connects the kernel has redirected, by the page of metrics in `file`.
fn redirected(file: &Path) -> Result<u64> {
    let page = fs::read_to_string(file)?;
    let count = page.lines().find_map(|line| line.strip_prefix(REDIRECTED));
    Ok(count.context("no count of redirected connects")?.trim().parse()?)
}

/// The last line in `file`, as far as it is there.
fn last_line(file: &Path) -> String {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|mut file| {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(1000)))?;
        file.read_to_end(&mut text)
    });
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).filter(|_| read.is_ok());
    last.unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(WIDTH).collect()
}

const CONFIGURATION: &str = "\
version: v1
intercept: {loopback: true, exclude: {ports: [9464]}}
telemetry: {metrics: {listen: \"127.0.0.1:9464\"}}
";
const REDIRECTED: &str = "ambassador_bpf_connects_total{verdict=\"redirected\"}";
/// The first argument is the file in which everything goes that is said. Addresses from which, as tests know, no answer
/// comes have a route: what is sent there is lost.
const NAMESPACE: &str = r#"
exec > "$1" 2>&1 < /dev/null
shift
ip link set lo up
ip link add near type veth peer name far
ip address add 198.51.100.1/30 dev near
ip link set near up
ip link set far up
ip neighbour add 198.51.100.2 lladdr 02:00:00:00:00:02 dev near
ip route add 10.255.255.1 via 198.51.100.2
ip route add 240.0.0.0/4 via 198.51.100.2
SERVER
"$@"
code=$?
[ -z "$server" ] || { kill -INT "$server"; kill -TERM "$server"; wait "$server"; } 2> /dev/null
exit $code
"#;
/// The first argument is the file in which the metrics go.
const ASK: &str = r#"
"$@"
code=$?
curl --silent --max-time 10 --output "$0" http://127.0.0.1:9464/metrics
exit $code
"#;
/// Whatever the tests leave running ends with them. The shell reaps it.
const ALONE: [&str; 9] =
    ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "\"$@\"\nexit $?", "sh"];
/// How long a run may take.
const LIMIT: Duration = Duration::from_mins(15);
/// How long what is around a run may take beyond it.
const GRACE: Duration = Duration::from_mins(1);
/// How often it is told how far a run is, in seconds.
const PACE: u64 = 15;
/// How much of a line is told.
const WIDTH: usize = 90;
