// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask tidy`: what neither the compiler nor clippy sees: the walls of the architecture and the house style.
//!
//! Each rule is a pure function of a path and a text, so that it is tested with small bad inputs.

mod flow;
mod prebuilt;
mod proofs;
mod rules;
mod source;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::steps::workspace;
use source::Source;

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// 0 where the finding is about the whole file.
    line: usize,
    message: String,
}

/// Checks every tracked file, and lists all findings before it fails.
pub(crate) fn run() -> Result<()> {
    let mut findings = prebuilt::check(workspace())?;
    let files = tracked_files()?;
    let suites = proofs::Suites::read(workspace())?;
    for path in &files {
        // A file that is deleted but still tracked, or not text, has nothing to read.
        let Ok(text) = fs::read_to_string(workspace().join(path)) else { continue };
        let source = Source::new(path, &text);
        findings.extend(rules::check(&source));
        findings.extend(suites.check(&source));
    }
    for Finding { path, line, message } in &findings {
        println!("{path}:{line}: {message}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!("tidy: {} files are clean", files.len());
    Ok(())
}

/// Tracked files, and new ones that are not ignored: what the next commit may hold.
fn tracked_files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(workspace());
    let output = git.output().context("start git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}
