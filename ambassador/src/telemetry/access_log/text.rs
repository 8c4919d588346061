// SPDX-License-Identifier: Apache-2.0
//! The line for people: aligned, short, coloured only where a person reads it.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use super::escape;
use crate::telemetry::event::{Caller, FlowFinished, RequestFinished, RetryReason};
use crate::telemetry::labels::{ErrorType, GivenUpReason, Protocol, ShadowDecision};
use crate::telemetry::shadow::Shadowed;
use crate::telemetry::units::{bytes, duration};

/// Whether a line carries ANSI colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// ANSI colours.
    Always,
}

impl Colour {
    /// Colours when stderr is a terminal and `NO_COLOR` is unset or empty (<https://no-color.org>).
    pub fn of_stderr() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stderr().is_terminal() && !refused { Self::Always } else { Self::Never }
    }

    fn paint(self, code: &'static str, text: &str) -> String {
        match self {
            Self::Never => text.to_owned(),
            Self::Always => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// `ambassador  GET http://api.example/x  200  12 ms  2 attempts (503)  curl[123]`
pub(super) fn request(request: &RequestFinished<'_>, colour: Colour) -> String {
    let what = format!("{} {}", shown(&request.method), url(request));
    let result = match (request.status, request.error) {
        (Some(status), Some(error)) => format!("{status} {error}"),
        (Some(status), None) => grpc_or_status(status, request.grpc_status),
        (None, Some(error)) => error.to_string(),
        (None, None) => String::from("-"),
    };
    let paint = match request.status {
        _ if request.is_failure() => RED,
        Some(400..=499) => YELLOW,
        Some(300..=399) => CYAN,
        _ => GREEN,
    };
    let mut line = Columns::new(colour);
    line.push(&what, WHAT_WIDTH);
    line.push_painted(&result, RESULT_WIDTH, paint);
    line.push_right(&duration(request.duration), DURATION_WIDTH);
    if request.attempts > 1 {
        line.push(&attempts(request), 0);
    }
    line.push_given_up(request.given_up, request.shadow);
    line.push_shadow(request.shadow, request.retry_reason);
    line.finish(&request.caller)
}

/// `ambassador  tls db.example:5432  ok  12.00 s  1.2 KiB up  3.4 MiB down  psql[12]`
pub(super) fn flow(flow: &FlowFinished<'_>, colour: Colour) -> String {
    let endpoint = flow.destination.endpoint;
    let mut what = match &flow.sni {
        Some(sni) => format!("{} {}:{}", flow.protocol, shown(sni), endpoint.port()),
        None => format!("{} {endpoint}", flow.protocol),
    };
    if let Some(alpn) = &flow.alpn {
        let _ = write!(what, " ({})", shown(alpn));
    }
    let result = flow.error.map_or("ok", ErrorType::as_str);
    let mut line = Columns::new(colour);
    line.push(&what, WHAT_WIDTH);
    line.push_painted(result, RESULT_WIDTH, if flow.is_failure() { RED } else { GREEN });
    line.push_right(&duration(flow.duration), DURATION_WIDTH);
    line.push(&format!("{} up", bytes(flow.bytes_sent)), 0);
    line.push(&format!("{} down", bytes(flow.bytes_received)), 0);
    if flow.attempts > 1 {
        line.push(&format!("{} dials", flow.attempts), 0);
    }
    line.push_given_up(flow.given_up, flow.shadow);
    line.push_shadow(flow.shadow, None);
    line.finish(&flow.caller)
}

fn url(request: &RequestFinished<'_>) -> String {
    let path = shown(&request.path);
    if path.contains("://") {
        return path.into_owned(); // absolute form already names the host
    }
    let host = match &*request.host {
        "" => Cow::Owned(request.destination.endpoint.to_string()),
        host => shown(host),
    };
    match (&*request.method, request.protocol) {
        ("CONNECT", _) => path.into_owned(),
        (_, Protocol::Http1 | Protocol::Http2) if path.starts_with('/') => format!("http://{host}{path}"),
        _ => format!("http://{host} {path}"),
    }
}

fn grpc_or_status(status: u16, grpc: Option<u16>) -> String {
    match grpc {
        Some(grpc) => format!("{status} grpc {grpc}"),
        None => status.to_string(),
    }
}

fn attempts(request: &RequestFinished<'_>) -> String {
    match request.retry_reason {
        Some(reason) => format!("{} attempts ({reason})", request.attempts),
        None => format!("{} attempts", request.attempts),
    }
}

/// Escaped, and cut where it would make the line unreadable.
fn shown(text: &str) -> Cow<'_, str> {
    let safe = escape(text);
    match safe.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &safe[..end])),
        None => safe,
    }
}

/// A line under construction: columns two spaces apart.
struct Columns {
    line: String,
    colour: Colour,
}

impl Columns {
    fn new(colour: Colour) -> Self {
        Self { line: colour.paint(DIM, "ambassador"), colour }
    }

    fn push(&mut self, text: &str, width: usize) {
        let _ = write!(self.line, "  {text:<width$}");
    }

    fn push_right(&mut self, text: &str, width: usize) {
        let _ = write!(self.line, "  {text:>width$}");
    }

    fn push_painted(&mut self, text: &str, width: usize, paint: &'static str) {
        let padding = width.saturating_sub(text.len());
        let _ = write!(self.line, "  {}{:padding$}", self.colour.paint(paint, text), "");
    }

    /// Why there was no further attempt that the route asks for; in mode shadow, why there would have been none.
    fn push_given_up(&mut self, reason: Option<GivenUpReason>, shadow: Shadowed) {
        let words = if shadow.is_empty() { "not retried" } else { "would not retry" };
        if let Some(reason) = reason {
            self.push(&format!("{words} ({reason})"), 0);
        }
    }

    /// What mode shadow did not do.
    fn push_shadow(&mut self, shadow: Shadowed, retry: Option<RetryReason>) {
        use ShadowDecision as Would;
        for decision in shadow.iter() {
            let text = match (decision, retry) {
                (Would::Retry, Some(reason)) => format!("would retry ({reason})"),
                (Would::Retry, None) => "would retry".to_owned(),
                (Would::Denied | Would::CircuitOpen | Would::Overflow, _) => {
                    format!("would refuse ({decision})")
                }
                (Would::TimeoutRequest | Would::TimeoutPerTry, _) => format!("would end ({decision})"),
            };
            self.push(&text, 0);
        }
    }

    fn finish(mut self, caller: &Caller) -> String {
        let who = format!("{}[{}]", shown(&caller.comm()), caller.pid);
        let _ = writeln!(self.line, "  {}", self.colour.paint(DIM, &who));
        self.line
    }
}

const WHAT_WIDTH: usize = 40;
const RESULT_WIDTH: usize = 3;
const DURATION_WIDTH: usize = 7;
const MAX_SHOWN: usize = 160;

const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
