// SPDX-License-Identifier: Apache-2.0
//! The door to telemetry: one cheap handle that every worker and layer holds, and a guard that ends it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{IntCounter, IntGauge};
use thiserror::Error;

use crate::telemetry::access_log::{self, AccessLog, Format, Lines, Writer};
use crate::telemetry::event::Event;
use crate::telemetry::labels::{Direction, Protocol};
use crate::telemetry::operator_log;
use crate::telemetry::panics;
use crate::telemetry::recorder::Recorder;
use crate::telemetry::registry::{KernelCounters, Metrics};
use crate::telemetry::summary::{Destinations, Summary};

/// What telemetry is to do. The default counts and summarises, and writes no access log.
#[derive(Debug)]
pub struct Options {
    /// Where the access log goes, if anywhere.
    pub access_log: Option<AccessLog>,
    /// Destinations without a configured upstream that get a label of their own; the rest is `other`.
    pub labelled_destinations: usize,
    /// Destinations that get a row of the summary of their own; the rest is `other`.
    pub summarised_destinations: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { access_log: None, labelled_destinations: 256, summarised_destinations: 512 }
    }
}

/// Telemetry could not be started.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// A metric was refused by the registry.
    #[error("register the metrics")]
    Register(#[source] prometheus::Error),
    /// The thread that writes the access log could not be made.
    #[error("start the thread that writes the access log")]
    SpawnWriter(#[source] std::io::Error),
}

/// Takes facts and shows them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

enum Inner {
    Silent,
    Recording(Recorder),
    Live(Box<Live>),
}

struct Live {
    metrics: Metrics,
    destinations: Destinations,
    log: Option<(Format, Lines)>,
}

impl Telemetry {
    /// Starts metrics, summary and, if asked for, the access log. Dropping the guard writes what is queued.
    pub fn new(options: Options) -> Result<(Self, Guard), TelemetryError> {
        let metrics = Metrics::new(options.labelled_destinations).map_err(TelemetryError::Register)?;
        let destinations = Destinations::new(options.summarised_destinations);
        let (log, writer) = match options.access_log {
            None => (None, None),
            Some(AccessLog { sink, format, queue_lines }) => {
                let (lines, writer) = Writer::start(sink, queue_lines, metrics.access_log_dropped.clone())
                    .map_err(TelemetryError::SpawnWriter)?;
                (Some((format, lines)), Some(writer))
            }
        };
        let live = Live { metrics, destinations, log };
        Ok((Self(Arc::new(Inner::Live(Box::new(live)))), Guard { writer }))
    }

    /// Telemetry that shows nothing.
    pub fn silent() -> Self {
        Self(Arc::new(Inner::Silent))
    }

    /// Telemetry that keeps every event, for tests of those who emit them.
    pub fn recording() -> (Self, Recorder) {
        let recorder = Recorder::default();
        (Self(Arc::new(Inner::Recording(recorder.clone()))), recorder)
    }

    /// Says one fact: counts it, logs it, sums it up.
    pub fn emit(&self, event: &Event<'_>) {
        match &*self.0 {
            Inner::Silent => {}
            Inner::Recording(recorder) => recorder.push(event),
            Inner::Live(live) => {
                live.metrics.observe(event);
                live.destinations.record(event);
                if let Some((format, lines)) = &live.log
                    && let Some(line) = access_log::line(*format, event, Timestamp::now())
                {
                    lines.push(line);
                }
                operator_log::tell(event);
            }
        }
    }

    /// Counts an intercepted connection as open until the returned value is dropped.
    pub fn connection(&self, protocol: Protocol) -> ActiveConnection {
        ActiveConnection(self.live().map(|live| {
            let (total, active) = live.metrics.connections(protocol);
            total.inc();
            active.inc();
            active.clone()
        }))
    }

    /// Counts an intercepted connection as waiting for a place until the returned value is dropped.
    pub fn waiting_connection(&self) -> ActiveConnection {
        ActiveConnection(self.live().map(|live| {
            let waiting = &live.metrics.connections_waiting;
            waiting.inc();
            waiting.clone()
        }))
    }

    /// Counts what connections of `protocol` carry, where requests do not tell it.
    pub fn wire_bytes(&self, protocol: Protocol) -> WireBytes {
        WireBytes(self.live().map(|live| live.metrics.tcp_bytes(protocol).clone()))
    }

    /// Says whether `connect()` can wait for its destination's answer in every namespace; it cannot unless it is said.
    pub fn set_connect_truthful(&self, truthful: bool) {
        if let Some(live) = self.live() {
            live.metrics.connect_truthful.set(i64::from(truthful));
        }
    }

    /// Tells of every panic of the process from here on, and counts it, instead of what was done at one before.
    pub fn count_panics(&self) {
        if let Some(live) = self.live() {
            panics::count(live.metrics.panics.clone());
        }
    }

    /// Sets where the kernel programs' counters are read at each scrape. Only the first call counts.
    pub fn set_kernel_counters(&self, counters: KernelCounters) {
        if let Some(live) = self.live() {
            let _ = live.metrics.kernel.set(counters);
        }
    }

    /// The page of `/metrics`; empty if nothing is measured.
    pub fn metrics_page(&self) -> prometheus::Result<String> {
        self.live().map_or_else(|| Ok(String::new()), |live| live.metrics.render())
    }

    /// What happened per destination until now.
    pub fn summary(&self) -> Summary {
        match self.live() {
            Some(live) => live.destinations.summary(live.metrics.access_log_dropped.get()),
            None => Destinations::new(0).summary(0),
        }
    }

    fn live(&self) -> Option<&Live> {
        match &*self.0 {
            Inner::Live(live) => Some(live),
            Inner::Silent | Inner::Recording(_) => None,
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.0 {
            Inner::Silent => "Telemetry(silent)",
            Inner::Recording(_) => "Telemetry(recording)",
            Inner::Live(_) => "Telemetry(live)",
        })
    }
}

/// Ends the access log: dropping it writes every queued line, for at most two seconds.
#[must_use = "dropping it ends the access log"]
pub struct Guard {
    writer: Option<Writer>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take()
            && !writer.finish(FLUSH_LIMIT)
        {
            tracing::warn!("access log lines were lost at exit: nobody reads the log");
        }
    }
}

/// Bytes of a program's connection in `ambassador_tcp_bytes_total`.
#[derive(Clone, Debug, Default)]
pub struct WireBytes(Option<[IntCounter; 2]>);

impl WireBytes {
    /// The program has sent so many.
    pub fn sent(&self, bytes: usize) {
        self.add(Direction::Sent, bytes);
    }

    /// The program was sent so many.
    pub fn received(&self, bytes: usize) {
        self.add(Direction::Received, bytes);
    }

    fn add(&self, direction: Direction, bytes: usize) {
        if let Some(counters) = &self.0 {
            counters[direction as usize].inc_by(bytes as u64);
        }
    }
}

/// An intercepted connection in `ambassador_connections_active` or `…_waiting`.
#[derive(Debug)]
#[must_use = "the connection counts until this is dropped"]
pub struct ActiveConnection(Option<IntGauge>);

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        if let Some(active) = &self.0 {
            active.dec();
        }
    }
}

const FLUSH_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
