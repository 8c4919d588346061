// SPDX-License-Identifier: Apache-2.0
//! `ambassador` as a user runs it: a command line, a network namespace, and a cgroup of its own.
//!
//! It exists so that a suite says only which flags and which program. It never links to the library of ambassador.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::cgroup::Cgroup;
use crate::namespace::Namespace;
use crate::process::{Finished, Process};

/// A prepared `ambassador run`.
#[derive(Debug)]
pub struct Ambassador {
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    policy: Option<NamedTempFile>,
    first: String,
    ignored: String,
    /// The group that ambassador is started in and below which it makes its own.
    pub cgroup: Cgroup,
}

impl Ambassador {
    /// `ambassador run` with the words of `flags`.
    pub fn run(flags: &str) -> Result<Self> {
        let arguments = flags.split_whitespace().map(str::to_owned).collect();
        Ok(Self {
            binary: binary(),
            arguments,
            environment: Vec::new(),
            policy: None,
            first: String::new(),
            ignored: String::new(),
            cgroup: Cgroup::new()?,
        })
    }

    /// The same with a configuration file of this text.
    pub fn with_policy(flags: &str, yaml: &str) -> Result<Self> {
        let mut ambassador = Self::run(flags)?;
        let file = config_file(yaml)?;
        ambassador.arguments.extend(["-c".to_owned(), file.path().display().to_string()]);
        ambassador.policy = Some(file);
        Ok(ambassador)
    }

    /// Runs this program instead of [`binary`].
    #[must_use]
    pub fn program(mut self, binary: PathBuf) -> Self {
        self.binary = binary;
        self
    }

    /// Runs these commands of the shell first, in the process that then becomes ambassador: `ulimit -n 256`.
    #[must_use]
    pub fn first(mut self, commands: &str) -> Self {
        self.first = format!("{commands} && ");
        self
    }

    /// Lets its caller ignore `signals`: `PIPE,CHLD`.
    #[must_use]
    pub fn ignoring(mut self, signals: &str) -> Self {
        self.ignored = format!("--ignore-signal={signals} ");
        self
    }

    /// Sets a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command that runs `program` under ambassador in `namespace`.
    pub fn command<S: AsRef<OsStr>>(&self, namespace: &Namespace, program: &[S]) -> Command {
        let mut command = namespace.command("sh");
        // Under `nohup` the test itself ignores SIGHUP, which a shell that inherits that cannot trap.
        let enter = format!(
            r#"echo $$ > "$0/cgroup.procs" && {}exec env --default-signal=HUP {}"$@""#,
            self.first, self.ignored
        );
        command.args(["-c", &enter]).arg(self.cgroup.path()).arg(&self.binary);
        command.arg("run").args(&self.arguments).arg("--").args(program);
        // Under `sudo -E` ambassador would drop the command to the caller: a test says so itself where it wants that.
        for variable in ["SUDO_USER", "SUDO_UID", "SUDO_GID"] {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `program` to its end.
    pub fn output<S: AsRef<OsStr>>(&self, namespace: &Namespace, program: &[S]) -> Result<Finished> {
        Process::run(&mut self.command(namespace, program), LONG)
    }

    /// Starts `program`; the process is ambassador itself.
    pub fn spawn<S: AsRef<OsStr>>(&self, namespace: &Namespace, program: &[S]) -> Result<Process> {
        Process::spawn(&mut self.command(namespace, program))
    }

    /// Runs `program` directly and under ambassador, each with `input` as its stdin; exit code and stdout must be
    /// equal.
    pub fn check_like_direct<S: AsRef<OsStr>>(
        &self,
        namespace: &Namespace,
        program: &[S],
        input: &[u8],
    ) -> Result<Finished> {
        let (name, arguments) = program.split_first().context("no program")?;
        let direct = Process::run_with_input(namespace.command(name).args(arguments), input, LONG)?;
        let under = Process::run_with_input(&mut self.command(namespace, program), input, LONG)?;
        let (want, got) = ((direct.code(), &direct.stdout), (under.code(), &under.stdout));
        ensure!(
            want == got,
            "{}: not like the direct run\ndirect: {} {}{}\nunder ambassador: {} {}{}",
            under.name,
            direct.status,
            shown(&direct.stdout),
            direct.errors(),
            under.status,
            shown(&under.stdout),
            under.errors()
        );
        Ok(under)
    }
}

/// The program under test: `AMBASSADOR_BIN`, else `ambassador` beside the test's own target directory.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("AMBASSADOR_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(2).unwrap_or_else(|| Path::new(".")).join("ambassador")
}

/// Runs one of ambassador's other verbs (`check`, `explain`, `schema`) to its end.
pub fn verb<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Finished> {
    let binary = binary();
    ensure!(binary.exists(), "{} is missing: cargo build -p ambassador", binary.display());
    Process::run(Command::new(binary).args(arguments), SOON)
}

/// A configuration file that any user may read.
pub fn config_file(yaml: &str) -> Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("ambassador-").suffix(".yaml").tempfile()?;
    file.write_all(yaml.as_bytes())?;
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644))?;
    Ok(file)
}

/// Enough of an output to see what differs.
fn shown(output: &[u8]) -> String {
    let start = &output[..output.len().min(2000)];
    format!("({} bytes)\n{}", output.len(), String::from_utf8_lossy(start))
}

const SOON: Duration = Duration::from_secs(10);
/// The bound of a whole run: far above what any takes, so that it ends only what hangs.
pub const LONG: Duration = Duration::from_mins(2);
