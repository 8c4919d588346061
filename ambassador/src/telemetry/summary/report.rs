// SPDX-License-Identifier: Apache-2.0
//! The summary as a person and as a machine reads it.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::telemetry::access_log::escape;
use crate::telemetry::labels::Protocol;
use crate::telemetry::{safe_json, units};

/// Everything that went to one destination. A flow that is relayed as bytes counts as one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Host, SNI or `ip:port`; `other` holds what came after the limit.
    pub name: String,
    /// What was spoken with it.
    pub protocols: Vec<Protocol>,
    /// Requests and relayed flows.
    pub requests: u64,
    /// Those that failed in the end.
    pub failures: u64,
    /// Connects that the program gave up while nothing answered them; no failures, because its own time ended them.
    pub unanswered: u64,
    /// Those that a retry turned from a failure into a success.
    pub rescues: u64,
    /// State changes of its circuit breaker.
    pub breaker_events: u64,
    /// Bytes from the program.
    pub bytes_sent: u64,
    /// Bytes to the program.
    pub bytes_received: u64,
    /// Median duration.
    pub p50: Option<Duration>,
    /// 99th percentile of the durations.
    pub p99: Option<Duration>,
}

impl Row {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.breaker_events == 0
    }
}

/// All destinations, busiest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One row per destination.
    pub rows: Vec<Row>,
    /// Access log lines that were lost.
    pub access_log_dropped: u64,
}

impl Summary {
    pub(super) fn new(rows: Vec<Row>, access_log_dropped: u64) -> Self {
        Self { rows, access_log_dropped }
    }

    /// An aligned table with a headline; it ends with a newline and holds no control bytes.
    pub fn to_text(&self) -> String {
        let mut text = self.headline();
        if !self.rows.is_empty() {
            write_table(&mut text, &self.rows[..self.rows.len().min(MAX_ROWS)]);
        }
        if self.rows.len() > MAX_ROWS {
            let _ = writeln!(text, "… and {} more; -o json has all", self.rows.len() - MAX_ROWS);
        }
        if self.access_log_dropped > 0 {
            let _ = writeln!(
                text,
                "ambassador: {} dropped: its reader is too slow, or it cannot be written",
                counted(self.access_log_dropped, "access log line")
            );
        }
        text
    }

    /// One JSON object, without a newline. Durations are in ms, sizes in bytes.
    pub fn to_json(&self) -> String {
        let summary = JsonSummary {
            destinations: self.rows.iter().map(JsonRow::of).collect(),
            total: JsonTotal {
                requests: self.total(|row| row.requests),
                failures: self.total(|row| row.failures),
                connects_unanswered: self.total(|row| row.unanswered),
                rescued_by_retry: self.total(|row| row.rescues),
                breaker_events: self.total(|row| row.breaker_events),
                bytes_sent: self.total(|row| row.bytes_sent),
                bytes_received: self.total(|row| row.bytes_received),
            },
            access_log_dropped: self.access_log_dropped,
        };
        safe_json::to_string(&summary, 256 * (1 + self.rows.len())).unwrap_or_default()
    }

    fn headline(&self) -> String {
        let unanswered = match self.total(|row| row.unanswered) {
            0 => String::new(),
            count => format!(", {} that nothing answered", counted(count, "connect")),
        };
        match self.rows.len() {
            0 => String::from("ambassador: no intercepted connections\n"),
            count => format!(
                "ambassador: {} to {}, {} failed{unanswered}, {} saved by a retry\n",
                counted(self.total(|row| row.requests), "request"),
                counted(count as u64, "destination"),
                self.total(|row| row.failures),
                self.total(|row| row.rescues),
            ),
        }
    }

    fn total(&self, of: impl Fn(&Row) -> u64) -> u64 {
        self.rows.iter().map(of).sum()
    }
}

#[derive(Serialize)]
struct JsonSummary<'a> {
    destinations: Vec<JsonRow<'a>>,
    total: JsonTotal,
    access_log_dropped: u64,
}

#[derive(Serialize)]
struct JsonTotal {
    requests: u64,
    failures: u64,
    connects_unanswered: u64,
    rescued_by_retry: u64,
    breaker_events: u64,
    bytes_sent: u64,
    bytes_received: u64,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    name: &'a str,
    protocols: Vec<&'static str>,
    requests: u64,
    failures: u64,
    connects_unanswered: u64,
    rescued_by_retry: u64,
    breaker_events: u64,
    bytes_sent: u64,
    bytes_received: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl<'a> JsonRow<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            name: &row.name,
            protocols: row.protocols.iter().map(|protocol| protocol.as_str()).collect(),
            requests: row.requests,
            failures: row.failures,
            connects_unanswered: row.unanswered,
            rescued_by_retry: row.rescues,
            breaker_events: row.breaker_events,
            bytes_sent: row.bytes_sent,
            bytes_received: row.bytes_received,
            p50_ms: row.p50.map(units::milliseconds),
            p99_ms: row.p99.map(units::milliseconds),
        }
    }
}

/// The first two columns are aligned left, numbers right.
fn write_table(text: &mut String, rows: &[Row]) {
    let cells: Vec<[String; 10]> = rows.iter().map(cells).collect();
    let mut widths = HEADER.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    write_line(text, &HEADER.map(String::from), &widths);
    for row in &cells {
        write_line(text, row, &widths);
    }
}

fn write_line(text: &mut String, cells: &[String; 10], widths: &[usize; 10]) {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = match column {
            0 => write!(text, "{cell:<width$}"),
            1 => write!(text, "  {cell:<width$}"),
            _ => write!(text, "  {cell:>width$}"),
        };
    }
    text.push('\n');
}

fn cells(row: &Row) -> [String; 10] {
    let protocols: Vec<&str> = row.protocols.iter().map(|protocol| protocol.as_str()).collect();
    let quantile = |value: Option<Duration>| value.map_or_else(|| String::from("-"), units::duration);
    [
        escape(&row.name).into_owned(),
        protocols.join(","),
        row.requests.to_string(),
        match row.unanswered {
            0 => row.failures.to_string(),
            unanswered => format!("{}, {unanswered} unanswered", row.failures),
        },
        row.rescues.to_string(),
        row.breaker_events.to_string(),
        units::bytes(row.bytes_sent),
        units::bytes(row.bytes_received),
        quantile(row.p50),
        quantile(row.p99),
    ]
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

const HEADER: [&str; 10] =
    ["destination", "protocol", "requests", "failed", "saved", "breaker", "up", "down", "p50", "p99"];
const MAX_ROWS: usize = 40;
