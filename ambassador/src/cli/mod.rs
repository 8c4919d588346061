// SPDX-License-Identifier: Apache-2.0
//! The command line: clap structs, one file per verb, and no logic.

pub mod check;
pub mod doctor;
pub mod explain;
mod log;
pub mod output;
pub mod run;
pub mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use log::LogFormat;

/// Exit code of ambassador's own failures, as env(1) and timeout(1) have it.
pub const FAILURE: u8 = 125;

/// Makes the outbound connections of unmodified programs reliable and visible.
///
/// Kernel programs redirect what a command connects to through a local proxy that retries, limits, breaks circuits and
/// measures. The command is not changed and not told: it keeps dialling the names and ports that it always did.
#[derive(Parser)]
#[command(name = "ambassador", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// How ambassador's own messages look on standard error [default: text, or json after `run -o json`]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

const EXAMPLES: &str = "\
Examples:
  ambassador run -- curl http://api.example/              see every request that curl makes
  ambassador run --retry 3 --breaker 5 -- ./legacy-app    and make them reliable
  ambassador run -c ambassador.yaml -- ./legacy-app       with a policy for each destination
  ambassador doctor                                       does it work here, and if not, why?
  ambassador check ambassador.yaml                        is the file right?
  ambassador explain http://api.example/ -c ambassador.yaml
                                                          which route applies, and why

AMBASSADOR_LOG=debug shows what ambassador does (off, error, warn, info, debug, trace).
Wrong usage of any verb has the exit code 125; each verb's --help tells the others.";

#[derive(Subcommand)]
enum Verb {
    Run(run::RunArgs),
    Doctor(doctor::DoctorArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Schema(schema::SchemaArgs),
}

/// Parses the command line and runs its verb.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() {
                // It cannot be told any other way that standard error is closed.
                return ExitCode::from(FAILURE);
            }
            return output::written(printed, ExitCode::SUCCESS, &mut std::io::stderr());
        }
    };
    let format = match &cli.verb {
        Verb::Run(args) => cli.log_format.unwrap_or_else(|| args.natural_log_format()),
        _ => cli.log_format.unwrap_or(LogFormat::Text),
    };
    // What the doctor meets is in its findings.
    let filter = if matches!(cli.verb, Verb::Doctor(_)) { "error" } else { log::DEFAULT_FILTER };
    log::begin(format, filter);
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match cli.verb {
        Verb::Run(args) => args.run(format, &mut err),
        Verb::Doctor(args) => doctor::run(args, &mut out, &mut err),
        Verb::Check(args) => check::run(&args, &mut out, &mut err),
        Verb::Explain(args) => explain::run(&args, &mut out, &mut err),
        Verb::Schema(args) => schema::run(args, &mut out, &mut err),
    }
}
