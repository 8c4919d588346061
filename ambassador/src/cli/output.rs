// SPDX-License-Identifier: Apache-2.0
//! How the commands that answer a question write: text for people, JSON for machines.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// `-o text|json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON document.
    Json,
}

/// Writes one JSON document, indented, and a line end.
pub(super) fn json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// The exit code of an answer: `code` if it was written, 1 if it could not be. A reader that has had enough (`head`)
/// needs no word about it.
pub(super) fn written(result: io::Result<()>, code: ExitCode, err: &mut dyn Write) -> ExitCode {
    match result {
        Ok(()) => code,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                let _ = writeln!(err, "ambassador: cannot write the answer: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// `1 route`, `2 routes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
