// SPDX-License-Identifier: Apache-2.0
//! `ambassador explain`: which route would take this request, why not the earlier ones, and what then applies.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::explain::{Explained, Question, explain};
use crate::config::flags::PolicyFlags;
use crate::config::load::{from_flags, load};
use crate::config::target::Target;

use super::check::EXIT_CONFIG;
use super::output::{self, OutputFormat};

/// Show which route a request would take, why not the earlier ones, and where each of its values comes from
#[derive(Clone, Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub struct ExplainArgs {
    /// What a program would dial: an http or https URL, or host:port for anything else
    #[arg(value_name = "URL|HOST:PORT")]
    pub target: Target,
    /// The HTTP method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// The configuration file, `-` for standard input; without it, what the flags alone say
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The name of the calling program
    #[arg(long, value_name = "COMM", default_value = "")]
    pub app: String,
    /// The address that the host resolves to, for routes that match `cidrs`; nothing is looked up
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// How the answer is written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
    /// Policies as `ambassador run` takes them
    #[command(flatten)]
    pub policy: PolicyFlags,
}

const LONG_ABOUT: &str = "\
Show which route a request would take, why not the earlier ones, and where each of its values comes from

The answer is on standard output, in JSON one object and nothing else; what is wrong with the configuration is on \
standard error. The exit code is 0, 78 if the configuration is refused, 1 if the answer could not be written, and 125 \
after wrong usage.";

const WIDEST_VALUE: usize = 24;

/// Answers on `out`; a configuration that is refused is reported on `err`.
pub fn run(args: &ExplainArgs, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let loaded = match &args.config {
        Some(file) => load(file, &args.policy),
        None => from_flags(&args.policy),
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(report) => {
            let written = writeln!(err, "{report}\n");
            return if written.is_ok() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE };
        }
    };
    if !loaded.warnings.is_empty() && writeln!(err, "{}\n", loaded.warnings).is_err() {
        return ExitCode::FAILURE;
    }
    let question =
        Question { target: &args.target, method: &args.method, app: &args.app, address: args.address };
    let answer = explain(&loaded.config, &question);
    let written = match args.output {
        OutputFormat::Text => text(&answer, out),
        OutputFormat::Json => output::json(&answer, out),
    };
    output::written(written, ExitCode::SUCCESS, err)
}

fn text(answer: &Explained, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", answer.request)?;
    if !answer.intercepted {
        return answer.notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"));
    }
    for route in &answer.considered {
        let mark = if route.matches { "matches" } else { "no" };
        let because = route.because.as_ref().map(|because| format!(": {because}")).unwrap_or_default();
        writeln!(out, "  route {:<24} {mark}{because}", route.name)?;
    }
    for note in &answer.notes {
        writeln!(out, "  note: {note}")?;
    }
    writeln!(out, "\nroute {}", answer.route)?;
    settings(&answer.settings, out)?;
    if let Some(upstream) = &answer.upstream {
        writeln!(out, "\nupstream {}", upstream.name)?;
        settings(&upstream.settings, out)?;
    }
    Ok(())
}

fn settings(settings: &[crate::config::describe::Setting], out: &mut dyn Write) -> io::Result<()> {
    let widest = |text: fn(&crate::config::describe::Setting) -> &str| {
        settings.iter().map(|setting| text(setting).chars().count()).max().unwrap_or_default()
    };
    let fields = widest(|setting| setting.field);
    // One long value must not push every origin to the right.
    let values = widest(|setting| &setting.value).min(WIDEST_VALUE);
    for setting in settings {
        let (field, value, origin) = (setting.field, &setting.value, &setting.origin);
        writeln!(out, "  {field:<fields$}  {value:<values$}  {origin}")?;
    }
    Ok(())
}
