// SPDX-License-Identifier: Apache-2.0
//! `ambassador schema`: the JSON Schema of the configuration, for editors.

use std::io::Write;
use std::process::ExitCode;

use crate::config::schema::schema;

use super::output;

/// Print the JSON Schema of the configuration file
///
/// The exit code is 0, 1 if it could not be written, and 125 after wrong usage.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct SchemaArgs {}

/// Prints the schema.
pub fn run(_: SchemaArgs, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    output::written(output::json(&schema(), out), ExitCode::SUCCESS, err)
}
