// SPDX-License-Identifier: Apache-2.0
//! Suites in Python: the interpreter's own, and those in the source distributions of packages.
//!
//! Packages are brought by pip, from whatever index this machine has set; all versions are in `pins.txt`, and the bytes
//! of each source distribution are known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::fetch::{cached, call, sum};
use super::package::Package;
use super::program::{Choice, Program, Report};

impl Package {
    /// Fetches what lacks.
    pub(super) fn program(&self) -> Result<Program> {
        let python = environment()?;
        let Self { name, version, .. } = self;
        let directory = self.source(&python)?;
        let mut command = vec![python.display().to_string()];
        let plugins = self.plugins.iter().flat_map(|plugin| ["-p", plugin]);
        let words = ["-c", PYTEST, "-v", "-p", "no:cacheprovider", "-p", "pytest_timeout", "--timeout", "60"];
        // The parser by which pytest finds the lines of a failure fails itself where several threads use it.
        let words = words.into_iter().chain(["--tb", "native"]);
        command.extend(words.chain(plugins).map(str::to_owned));
        command.extend(self.arguments.iter().map(|&argument| argument.to_owned()));
        let alone = [("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")];
        let environment = self.environment.iter().chain(&alone);
        Ok(Program {
            version: format!("{name} {version}"),
            command,
            choice: Choice::Each("--only"),
            environment: environment.map(|(name, value)| (*name, (*value).to_owned())).collect(),
            directory,
            server: self.server,
            report: Report::Junit,
        })
    }

    fn source(&self, python: &Path) -> Result<PathBuf> {
        let Self { name, version, .. } = self;
        let base = format!("{name}-{version}");
        let path = cached(&base, |into| {
            let mut download = Command::new(python);
            download.args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary",
                ":all:",
                "--dest",
            ]);
            call(download.arg(into).arg(format!("{name}=={version}")))?;
            let file = into.join(format!("{base}.tar.gz"));
            let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let sum = sum(&bytes);
            ensure!(sum == self.sha256, "{} is another one: its SHA-256 is {sum}", file.display());
            call(Command::new("tar").arg("xzf").arg(&file).arg("-C").arg(into))
        })?;
        Ok(path.join(base))
    }
}

/// The interpreter's own tests.
pub(super) fn own(modules: &str) -> Result<Program> {
    let has_tests = |python: &&str| {
        let mut ask = Command::new(python);
        ask.args(["-c", "import test.test_socket"]).stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_tests);
    let python = found.context("no Python has its own tests: apt-get install libpython3-testsuite")?;
    let words = ["-m", "test", "--timeout", "300", "-u", "network", "-i", "*VSOCK*"];
    let command = [python].into_iter().chain(words).chain(modules.split_whitespace());
    Ok(Program {
        version: "CPython".to_owned(),
        command: command.map(str::to_owned).collect(),
        choice: Choice::Each("-m"),
        environment: Vec::new(),
        directory: std::env::temp_dir(),
        server: "",
        report: Report::Junit,
    })
}

/// The interpreter of an environment that has what is pinned.
fn environment() -> Result<PathBuf> {
    let name = format!("python-{}", &sum(PINS.as_bytes())[..12]);
    let path = cached(&name, |into| {
        call(Command::new("python3").args(["-m", "venv"]).arg(into))?;
        let pins = into.join("pins.txt");
        fs::write(&pins, PINS)?;
        call(Command::new(into.join("bin/pip")).args(["install", "--quiet", "--no-deps", "-r"]).arg(pins))
    })?;
    Ok(path.join("bin/python"))
}

/// Runs the tests that `--only` names as their report does, or all, and does not wait for threads that are left.
const PYTEST: &str = include_str!("only.py");
/// What the suites need, with everything that this needs.
const PINS: &str = include_str!("pins.txt");
