// SPDX-License-Identifier: Apache-2.0
//! Another program, such as a load generator: a child, so that whatever surrounds this client surrounds it, too.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// All that `program` prints, on one line: [`SEPARATOR`] stands for each end of a line, and for a space in an argument.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace(SEPARATOR, " ")).collect();
    let output =
        Command::new(program).args(&arguments).output().with_context(|| format!("start {program}"))?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.success(), "{program} {arguments:?}: {}: {text:?}", output.status);
    Ok(text.concat().replace('\n', SEPARATOR))
}

/// The unit separator of ASCII.
const SEPARATOR: &str = "\u{1f}";
