// SPDX-License-Identifier: Apache-2.0
//! Commands and steps of a verb: what runs, how long it took, what was not reached.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// One step: its name and what it does.
pub(crate) type Step = (&'static str, fn() -> Result<()>);

/// Runs the steps in order up to the first that fails, each with its time, and closes with one summary line.
pub(crate) fn run_all(verb: &str, steps: &[Step]) -> Result<()> {
    let started = Instant::now();
    for (number, (name, step)) in steps.iter().enumerate() {
        println!("==> {name}");
        let begun = Instant::now();
        let outcome = step();
        println!("<== {name}: {} in {:.1?}", if outcome.is_ok() { "ok" } else { "FAILED" }, begun.elapsed());
        if let Err(error) = outcome {
            let rest: Vec<&str> = steps[number + 1..].iter().map(|(name, _)| *name).collect();
            let rest = if rest.is_empty() { "nothing".to_owned() } else { rest.join(", ") };
            println!("{verb}: FAILED at {name} after {:.0?}; not run: {rest}", started.elapsed());
            return Err(error);
        }
    }
    for what in LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        println!("{verb}: NOT CHECKED: {what}");
    }
    println!("{verb}: ok, {} steps in {:.0?}", steps.len(), started.elapsed());
    Ok(())
}

/// Has the closing lines of the verb say that something could not be checked, although its step did not fail.
pub(crate) fn leave_out(what: String) {
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The cargo that runs this program.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

/// Runs `command`, and fails when it fails.
pub(crate) fn run_command(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// `$XDG_CACHE_HOME/ambassador`, for what is fetched.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("ambassador"))
}

/// Where cargo puts the program `name` of a debug build.
pub(crate) fn built(name: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("debug").join(name)
}

/// Whether this process may do what the kernel tests need.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}
