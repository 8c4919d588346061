// SPDX-License-Identifier: Apache-2.0
//! The access log: one line per request, and one per flow that is relayed as bytes.
//!
//! JSON lines are for machines, the text line is what `ambassador run` shows to a person. Both are made on the worker
//! and handed to a writer thread through a bounded queue: a slow reader of the log loses lines (they are counted), it
//! never slows a request down. Text out of traffic is escaped, so that nobody can forge a line or drive a terminal.

mod escape;
mod json;
mod queue;
mod text;

use std::fmt;
use std::io;

use jiff::Timestamp;

use crate::telemetry::event::Event;

pub(crate) use escape::{escape, is_unsafe};
pub(crate) use queue::{Lines, Writer};
pub use text::Colour;

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for machines.
    Json,
    /// One aligned line for people.
    Text(Colour),
}

/// Where the access log goes and how it looks.
pub struct AccessLog {
    /// Takes whole lines, up to 4 KiB at once (`PIPE_BUF`, so that lines do not mix with those of other writers).
    pub sink: Box<dyn io::Write + Send>,
    /// The shape of a line.
    pub format: Format,
    /// How many lines may wait for the sink; further ones are dropped and counted.
    pub queue_lines: usize,
}

impl AccessLog {
    /// A log of this format with the default queue of 8192 lines.
    pub fn new(sink: Box<dyn io::Write + Send>, format: Format) -> Self {
        Self { sink, format, queue_lines: 8192 }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The line of an event, newline included; `None` for events that have no line of their own.
pub(crate) fn line(format: Format, event: &Event<'_>, now: Timestamp) -> Option<String> {
    match (event, format) {
        (Event::RequestFinished(request), Format::Json) => Some(json::request(request, now)),
        (Event::RequestFinished(request), Format::Text(colour)) => Some(text::request(request, colour)),
        (Event::FlowFinished(flow), Format::Json) => Some(json::flow(flow, now)),
        (Event::FlowFinished(flow), Format::Text(colour)) => Some(text::flow(flow, colour)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
