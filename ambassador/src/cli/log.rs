// SPDX-License-Identifier: Apache-2.0
//! Ambassador's own messages on standard error, as `AMBASSADOR_LOG` and `--log-format` want them.
//!
//! The variable is read as `RUST_LOG` is, with one difference: a bare word that is no level would silently switch off
//! everything but a part of the program that does not exist, so it is told and ignored. It must never keep a command
//! from being run.

mod json;

use std::io::IsTerminal as _;

use serde_json::Value;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::config::{problem::Severity, report::Finding};

/// The variable.
const VARIABLE: &str = "AMBASSADOR_LOG";

/// What is shown unless the environment says otherwise: degradations, and the end of those that circuit breakers tell.
pub(super) const DEFAULT_FILTER: &str = "warn,ambassador::breaker=info";

/// How messages look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object per line.
    Json,
}

/// Begins to log what the filter `default` lets through, or as the environment says.
pub(super) fn begin(format: LogFormat, default: &'static str) {
    let asked = std::env::var_os(VARIABLE).map(|asked| asked.to_string_lossy().into_owned());
    let asked = asked.filter(|asked| !asked.trim().is_empty());
    let understood = asked.as_deref().filter(|asked| asked.split(',').all(is_directive));
    let filter = understood.and_then(|asked| EnvFilter::try_new(asked).ok());
    let ignored = asked.as_deref().filter(|_| filter.is_none());
    let builder =
        fmt().with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(default))).with_writer(std::io::stderr);
    if format == LogFormat::Json {
        builder.with_ansi(false).event_format(json::Lines).init();
    } else {
        let colour = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|refusal| refusal.is_empty());
        builder.with_ansi(colour).with_target(false).without_time().init();
    }
    if let Some(asked) = ignored {
        tracing::error!(
            "{VARIABLE} is `{}`, which is ignored: write off, error, warn, info, debug or trace, or such levels of \
             parts, as in `warn,ambassador::proxy=debug`",
            asked.escape_debug()
        );
    }
}

/// A message that no level hides, in the shape of the others.
pub(super) fn line(severity: Severity, message: &str) -> String {
    object(severity, [("message", message.into())])
}

/// A finding about the configuration, in the shape of the other messages.
pub(super) fn finding(found: &Finding) -> String {
    let place =
        [("file", found.file.clone().into()), ("line", found.line.into()), ("column", found.column.into())];
    let words = [("message", found.message.clone().into()), ("help", found.help.clone().into())];
    object(found.severity, place.into_iter().chain(words))
}

fn object(severity: Severity, fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let level = if severity == Severity::Error { "ERROR" } else { "WARN" };
    let fields: Vec<_> = fields.into_iter().collect();
    json::message(level, &fields, "ambassador")
}

/// `LEVEL`, `PART=LEVEL`, or a part of ambassador.
fn is_directive(text: &str) -> bool {
    let is_level = |text: &str| text.trim().parse::<LevelFilter>().is_ok();
    let is_part = |text: &str| {
        let text = text.trim();
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'))
    };
    match text.split_once('=') {
        Some((part, level)) => is_part(part) && !level.trim().is_empty() && is_level(level),
        None => {
            is_level(text) && !text.trim().is_empty()
                || is_part(text) && text.trim().starts_with("ambassador")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rust_log_takes_is_taken_but_for_parts_that_nobody_has() {
        for right in ["off", "Warn", "3", "ambassador", "ambassador::net=trace", "h2=info", " debug "] {
            assert!(is_directive(right), "{right}");
        }
        for wrong in
            ["", " ", "nonsense", "warning", "ambassador=", "ambassador=loud", "=debug", "a b=debug", "h2"]
        {
            assert!(!is_directive(wrong), "{wrong}");
        }
    }
}
