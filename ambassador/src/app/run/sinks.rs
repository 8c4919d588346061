// SPDX-License-Identifier: Apache-2.0
//! Where a run's lines, summary and metrics go.

use std::{
    fs::File,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
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
pub fn kernel_counters(maps: Arc<KernelMaps>, sentinel: Arc<Sentinel>) -> KernelCounters {
    let told = Mutex::default();
    Box::new(move || {
        let Ok(counters) = maps.counters() else { return Vec::new() };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let others = |(counter, value): (_, u64)| {
            let own = own(counter, sentinel.answered(), sentinel.held());
            metric_of(counter, never_less(&mut told, counter, value.saturating_sub(own)))
        };
        counters.iter().map(others).collect()
    })
}

/// How many of what a counter has counted were probes of the self-test.
fn own(counter: Counter, answered: u64, held: u64) -> u64 {
    match counter {
        Counter::Redirected | Counter::Delivered => answered,
        Counter::SynHeld => held,
        _ => 0,
    }
}

/// What is told of a counter. A probe that is on its way is counted by the kernel before anybody knows whose it is; a
/// counter that fell when it arrives would be taken for one that began anew.
fn never_less(told: &mut Told, counter: Counter, value: u64) -> u64 {
    let told = &mut told[counter as usize];
    *told = (*told).max(value);
    *told
}

/// The highest value of each counter that was told.
type Told = [u64; Counter::ALL.len()];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_does_not_fall_when_a_probe_is_known_as_one() {
        let mut told = [0; Counter::ALL.len()];
        let mut tell = |value, answered| {
            never_less(&mut told, Counter::Redirected, value - own(Counter::Redirected, answered, 0))
        };
        // Five connections and a probe on its way; the probe has arrived; a sixth connection; a seventh.
        assert_eq!([tell(6, 0), tell(6, 1), tell(7, 1), tell(8, 1)], [6, 6, 6, 7]);
    }
}
