// SPDX-License-Identifier: Apache-2.0
//! Where a run's lines, summary and metrics go.

use std::{
    fs::File,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use ambassador_ebpf::counter::Counter;

use super::AppError;
use crate::{
    config::settings::{self, LogFormat},
    kernel::KernelMaps,
    proxy::sentinel::Sentinel,
    telemetry::{
        KernelCounters, Options,
        access_log::{AccessLog, Colour, Format},
        summary::Summary,
    },
};

/// Lines go to the configured file; without one to standard error, unless the run is quiet.
pub(super) fn options(telemetry: &settings::Telemetry, quiet: bool, json: bool) -> Result<Options, AppError> {
    let access_log = match &telemetry.access_log {
        Some(log) => {
            let sink = open_log(&log.path)
                .map_err(|source| AppError::AccessLog { path: log.path.clone(), source })?;
            let format = match log.format {
                LogFormat::Json => Format::Json,
                LogFormat::Text => Format::Text(Colour::Never),
            };
            Some(AccessLog::new(sink, format))
        }
        None if quiet => None,
        None => {
            let format = if json { Format::Json } else { Format::Text(Colour::of_stderr()) };
            Some(AccessLog::new(Box::new(io::stderr()), format))
        }
    };
    Ok(Options { access_log, ..Options::default() })
}

/// Opens the access log. Standard error is used as it is: opened anew by its path it would be truncated or, where it
/// is a socket, could not be opened at all. A FIFO that nobody reads fails instead of waiting for a reader.
fn open_log(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    if path == Path::new("/dev/stderr") {
        return Ok(Box::new(io::stderr()));
    }
    let mut options = File::options();
    let file = options.create(true).append(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    nix::fcntl::fcntl(&file, nix::fcntl::F_SETFL(nix::fcntl::OFlag::O_APPEND))?;
    Ok(Box::new(file))
}

/// Opens the listener of `telemetry.metrics.listen`.
pub(super) fn listen_metrics(address: SocketAddr) -> Result<TcpListener, AppError> {
    let failed = |source| AppError::Metrics { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// The kernel programs' counters, read at each scrape, without the connections of the self-test.
pub(super) fn kernel_counters(maps: Arc<KernelMaps>, sentinel: Arc<Sentinel>) -> KernelCounters {
    Box::new(move || {
        let Ok(counters) = maps.counters() else { return Vec::new() };
        let own = |counter| match counter {
            Counter::Redirected | Counter::Delivered => sentinel.answered(),
            Counter::SynHeld => sentinel.held(),
            _ => 0,
        };
        let others = |(counter, value): (_, u64)| metric_of(counter, value.saturating_sub(own(counter)));
        counters.iter().map(others).collect()
    })
}

/// Prints the closing summary on standard error.
pub(super) fn print_summary(summary: &Summary, json: bool) {
    let text = if json { summary.to_json() + "\n" } else { summary.to_text() };
    // Nobody can be told that standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Connects are one metric by verdict; what went wrong on the way has one of its own each.
fn metric_of(counter: Counter, value: u64) -> (&'static str, &'static str, u64) {
    match counter {
        Counter::TupleFailed => ("ambassador_bpf_tuple_insert_failures_total", "", value),
        Counter::Delivered => ("ambassador_bpf_delivered_destinations_total", "", value),
        Counter::DeliveryMissing => ("ambassador_bpf_unknown_connections_total", "", value),
        Counter::DeliveryFailed => ("ambassador_bpf_delivery_failures_total", "", value),
        Counter::EventLost => ("ambassador_bpf_lost_events_total", "", value),
        syn @ (Counter::SynHeld
        | Counter::SynShortcut
        | Counter::SynEager
        | Counter::SynWrongIsn
        | Counter::SynNoFlow
        | Counter::SynUnreadable) => ("ambassador_bpf_syns_total", syn.name(), value),
        connect => ("ambassador_bpf_connects_total", connect.name(), value),
    }
}
