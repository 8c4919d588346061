// SPDX-License-Identifier: Apache-2.0
//! `ambassador check`: is this configuration valid, and if not, what is wrong with it?

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::flags::PolicyFlags;
use crate::config::load::{Loaded, load, name_of};
use crate::config::report::Report;

use super::output::{self, OutputFormat};

/// The exit code of a configuration that is refused (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

/// Check a configuration file: 0 if it is valid, 78 and every mistake in it if not
#[derive(Clone, Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub struct CheckArgs {
    /// The configuration file, `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How findings are written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
}

const LONG_ABOUT: &str = "\
Check a configuration file, and report every mistake in it at once

The exit code is 0 if the file is valid (warnings do not refuse it), 78 if it is not, 1 if that could not be written, and \
125 after wrong usage. `run` ends with 125 for a file that `check` refuses.

Text findings go to standard error. JSON is one list on standard output, and nothing else: objects with `file`, `line`, \
`column` (both from 1; 0 where there is none), `severity` (error, warning), `message` and `help` (or null).";

/// Checks the file. Text goes to `err` (the summary of a valid file to `out`), JSON to `out`.
pub fn run(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let loaded = load(&args.file, &PolicyFlags::default());
    let written = match args.output {
        OutputFormat::Text => text(&name_of(&args.file), &loaded, out, err),
        OutputFormat::Json => output::json(&report(&loaded).findings(), out),
    };
    let code = if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) };
    output::written(written, code, err)
}

fn text(
    file: &str,
    loaded: &Result<Loaded, Report>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let report = report(loaded);
    if !report.is_empty() {
        writeln!(err, "{report}\n")?;
    }
    let warnings = match report.warnings() {
        0 => String::new(),
        n => format!(", {}", output::count(n, "warning")),
    };
    match loaded {
        Err(report) => writeln!(err, "{file}: {}{warnings}", output::count(report.errors(), "error")),
        Ok(Loaded { config, .. }) => {
            let routes = output::count(config.table.routes.len(), "route");
            let upstreams = output::count(config.upstreams.len(), "upstream");
            writeln!(out, "{file}: valid ({routes}, {upstreams}{warnings})")
        }
    }
}

fn report(loaded: &Result<Loaded, Report>) -> &Report {
    match loaded {
        Ok(loaded) => &loaded.warnings,
        Err(report) => report,
    }
}
