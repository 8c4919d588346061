// SPDX-License-Identifier: Apache-2.0
//! `ambassador run`: a command whose connections go through ambassador.

use std::{ffi::OsString, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

use crate::{
    app,
    config::{
        flags::PolicyFlags,
        load::{from_flags, load},
        problem::Severity,
        report::Report,
    },
};

use super::log::{self, LogFormat};

/// Run a command and make its outbound connections reliable and visible
#[derive(Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES, override_usage = "ambassador run [OPTIONS] [--] <CMD>...")]
pub struct RunArgs {
    /// Read policies from FILE (`-`: standard input); the options below override its defaults
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// No line per request, and no summary
    #[arg(short, long)]
    quiet: bool,
    /// Run CMD as this user instead of the one who called sudo
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Intercept in this network namespace too (a name of `ip netns`, or a file such as /proc/PID/ns/net), for a CMD
    /// that enters it
    #[arg(long, value_name = "NAME|FILE")]
    netns: Vec<PathBuf>,
    /// How the lines and the summary look
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    #[command(flatten)]
    policy: PolicyFlags,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const LONG_ABOUT: &str = "\
Run a command and make its outbound connections reliable and visible

CMD keeps its standard streams, terminal, environment and directory. Standard error shows a line for each request or \
connection, and a summary at the end. The exit code is CMD's own, 128+n if signal n ended it, 125 if ambassador itself \
failed, a refused configuration and wrong usage included, 126 if CMD cannot be executed, 127 if there is no such command.

Needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW (without which connect() succeeds early) and a cgroup that is \
delegated to you; they are given up once the kernel programs are attached. CMD itself runs as the user who called sudo.";

const EXAMPLES: &str = "\
Examples:
  ambassador run -- curl http://api.example/                    see every request that curl makes
  ambassador run --retry 3 --timeout 5s -- ./legacy-app --flag  what follows CMD is CMD's own
  ambassador run -c ambassador.yaml -o json -- ./legacy-app 2>lines.json
  ambassador run -- sh -c 'curl http://a.example/ | ./legacy-app'  a pipeline, all of it
  ambassador run --netns blue -- ip netns exec blue ./legacy-app

A DURATION has a unit: 250ms, 5s, 1m30s. If it does not work, `ambassador doctor` tells what is missing.";

/// How `run` speaks on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// A JSON object per line.
    Json,
}

impl RunArgs {
    /// Who wants lines as JSON reads the same stream: it should hold nothing else.
    pub(super) fn natural_log_format(&self) -> LogFormat {
        match self.output {
            Output::Text => LogFormat::Text,
            Output::Json => LogFormat::Json,
        }
    }

    /// Runs the verb.
    pub(super) fn run(self, format: LogFormat, err: &mut dyn Write) -> ExitCode {
        let loaded = match &self.config {
            Some(file) => load(file, &self.policy),
            None => from_flags(&self.policy),
        };
        let config = match loaded {
            Ok(loaded) => {
                tell(&loaded.warnings, format, err);
                loaded.config
            }
            Err(report) => {
                tell(&report, format, err);
                return ExitCode::from(super::FAILURE);
            }
        };
        let options = app::RunOptions {
            config,
            command: self.command,
            user: self.user,
            namespaces: self.netns,
            quiet: self.quiet,
            json: self.output == Output::Json,
        };
        match app::run(options) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                let (code, ill) = (error.exit_code(), error.is_for_the_doctor());
                let hint = if ill { "; `ambassador doctor` tells what is missing" } else { "" };
                let message = format!("{:#}{hint}", anyhow::Error::from(error));
                let _ = match format {
                    LogFormat::Text => writeln!(err, "ambassador: {message}"),
                    LogFormat::Json => writeln!(err, "{}", log::line(Severity::Error, &message)),
                };
                ExitCode::from(code)
            }
        }
    }
}

/// Says what was found about the configuration. Standard error may be closed, which does not matter to CMD.
fn tell(report: &Report, format: LogFormat, err: &mut dyn Write) {
    let _ = match format {
        _ if report.is_empty() => Ok(()),
        LogFormat::Text => writeln!(err, "{report}"),
        LogFormat::Json => {
            report.findings().iter().try_for_each(|found| writeln!(err, "{}", log::finding(found)))
        }
    };
}
