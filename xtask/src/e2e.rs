// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask e2e [FILTER]`: builds ambassador and runs the end-to-end suites on the real kernel.

use std::process::Command;

use anyhow::{Result, bail};

use crate::setup;
use crate::steps::{built, cargo, is_root, run_command, workspace};

/// Runs all suites, the suite named `filter`, or the tests whose names contain `filter`.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    if !is_root() {
        bail!(
            "the end-to-end tests load kernel programs and make network namespaces: sudo -E cargo xtask e2e"
        );
    }
    setup::run()?;
    run_command(&mut cargo(&["build", "--quiet", "--package", "ambassador"]))?;
    // Every suite runs even if one fails, so that one look shows all that is broken.
    let mut test = with_default_signals(&cargo(&["test", "--package", "ambassador-tests", "--no-fail-fast"]));
    let suite = filter.filter(|name| is_suite(name));
    match suite {
        Some(suite) => test.args(["--test", suite]),
        // Without those that need a feature, which a pattern would insist on.
        None => test.arg("--tests"),
    };
    test.args(["--", "--test-threads=2"]);
    if let (None, Some(part)) = (suite, filter) {
        test.arg(part);
    }
    run_command(test.env("AMBASSADOR_BIN", built("ambassador")))
}

/// `command`, whose signals are not ignored although those of this process may be: a shell ignores SIGINT for what it runs
/// in the background, and ambassador passes on what its caller ignores.
fn with_default_signals(command: &Command) -> Command {
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP,INT,QUIT,PIPE").arg(command.get_program()).args(command.get_args());
    env.current_dir(workspace());
    env
}

fn is_suite(name: &str) -> bool {
    let suites = workspace().join("tests/tests");
    suites.join(name).join("main.rs").is_file() || suites.join(name).with_extension("rs").is_file()
}
