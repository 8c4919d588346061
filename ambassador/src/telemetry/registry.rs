// SPDX-License-Identifier: Apache-2.0
//! The Prometheus registry: which metrics exist, with which labels, and the page that a scrape gets.
//!
//! Series of small closed sets are resolved here at start, so that they are on the page as 0 before anything happens.
//! Names of destinations are labels under a cap (`interned`).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::telemetry::durations::Durations;
use crate::telemetry::event::Destination;
use crate::telemetry::handles::LabelId;
use crate::telemetry::interned::{Label, Labels};
use crate::telemetry::labels::{Direction, GivenUpReason, HoldOutcome, Protocol, TestResult};
use crate::telemetry::names::{self, Name};
use crate::telemetry::process;
use crate::telemetry::shards::{Shard, Shards};

/// Reads the kernel programs' counters: full metric name (`ambassador_bpf_…_total`), verdict label (empty for none),
/// value. Called once per scrape.
pub type KernelCounters = Box<dyn Fn() -> Vec<(&'static str, &'static str, u64)> + Send + Sync>;

/// Every metric of the process.
pub(crate) struct Metrics {
    pub(crate) id: u64,
    registry: Registry,
    pub(crate) kernel: OnceLock<KernelCounters>,
    labels: Labels,
    pub(crate) request_duration: Durations,
    pub(crate) attempt_duration: Durations,
    pub(crate) connect_duration: HistogramVec,
    pub(crate) connect_failures: IntCounterVec,
    hold_duration: Vec<Histogram>,
    pub(crate) connect_lies: IntCounter,
    pub(crate) connect_truthful: IntGauge,
    pub(crate) grpc_responses: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) rejected: IntCounterVec,
    pub(crate) timeouts: IntCounterVec,
    pub(crate) breaker_state: IntGaugeVec,
    pub(crate) breaker_transitions: IntCounterVec,
    pub(crate) host_mismatch: IntCounterVec,
    pub(crate) missing_destination: IntCounter,
    pub(crate) access_log_dropped: IntCounter,
    pub(crate) panics: IntCounter,
    self_tests: Vec<IntCounter>,
    retry_given_up: Vec<IntCounter>,
    connections: Vec<IntCounter>,
    connections_active: Vec<IntGauge>,
    pub(crate) connections_waiting: IntGauge,
    tcp_bytes: Vec<[IntCounter; 2]>,
    /// What HTTP/1 requests carried, by [`Direction`], and how much of that `tcp_bytes` has.
    http1_bytes: Shards<2>,
    http1_bytes_told: Mutex<[u64; 2]>,
}

impl Metrics {
    /// Registers every metric; at most `destination_cap` destinations without a configured upstream get a label.
    pub(crate) fn new(destination_cap: usize) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: Name, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name.name, name.help), labels)?)
        };
        let gauges = |name: Name, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name.name, name.help), labels)?)
        };
        let histograms = |name: Name, buckets: &[f64], labels: &[&str]| {
            let opts = HistogramOpts::new(name.name, name.help).buckets(buckets.to_vec());
            register(&registry, HistogramVec::new(opts, labels)?)
        };

        let build_info = gauges(names::BUILD_INFO, &["version", "arch"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH]).set(1);
        let retry_given_up = counters(names::RETRY_GIVEN_UP, &["reason"])?;
        let connections = counters(names::CONNECTIONS, &["protocol"])?;
        let connections_active = gauges(names::CONNECTIONS_ACTIVE, &["protocol"])?;
        let tcp_bytes = counters(names::TCP_BYTES, &["protocol", "direction"])?;
        let bytes_of = |protocol: &Protocol| {
            [Direction::Sent, Direction::Received]
                .map(|direction| tcp_bytes.with_label_values(&[protocol.as_str(), direction.as_str()]))
        };
        let self_tests = counters(names::SELF_TESTS, &["result"])?;
        let holds = histograms(names::HOLD_DURATION, &names::CONNECT_BUCKETS, &["outcome"])?;
        let call = ["route", "upstream", "http_request_method", "http_response_status_code", "error_type"];
        let attempt = ["route", "upstream", "http_response_status_code", "error_type"];

        Ok(Self {
            id: NEXT_REGISTRY.fetch_add(1, Ordering::Relaxed),
            kernel: OnceLock::new(),
            labels: Labels::new(destination_cap),
            request_duration: register(&registry, Durations::new(names::REQUEST_DURATION, &call)?)?,
            attempt_duration: register(&registry, Durations::new(names::ATTEMPT_DURATION, &attempt)?)?,
            connect_duration: histograms(names::CONNECT_DURATION, &names::CONNECT_BUCKETS, &["upstream"])?,
            connect_failures: counters(names::CONNECT_FAILURES, &["upstream", "reason"])?,
            hold_duration: HoldOutcome::ALL
                .iter()
                .map(|outcome| holds.with_label_values(&[outcome.as_str()]))
                .collect(),
            connect_lies: plain(&registry, names::CONNECT_LIES)?,
            connect_truthful: plain_gauge(&registry, names::CONNECT_TRUTHFUL)?,
            grpc_responses: counters(names::GRPC_RESPONSES, &["route", "upstream", "grpc_status"])?,
            retries: counters(names::RETRIES, &["route", "outcome"])?,
            rejected: counters(names::REJECTED, &["route", "reason", "mode"])?,
            timeouts: counters(names::TIMEOUTS, &["route", "timeout", "mode"])?,
            breaker_state: gauges(names::BREAKER_STATE, &["upstream", "route", "mode", "state"])?,
            breaker_transitions: counters(
                names::BREAKER_TRANSITIONS,
                &["upstream", "route", "mode", "from", "to"],
            )?,
            host_mismatch: counters(names::HOST_MISMATCH, &["route"])?,
            missing_destination: plain(&registry, names::MISSING_DESTINATION)?,
            access_log_dropped: plain(&registry, names::ACCESS_LOG_DROPPED)?,
            panics: plain(&registry, names::PANICS)?,
            self_tests: TestResult::ALL
                .iter()
                .map(|result| self_tests.with_label_values(&[result.as_str()]))
                .collect(),
            retry_given_up: GivenUpReason::ALL
                .iter()
                .map(|reason| retry_given_up.with_label_values(&[reason.as_str()]))
                .collect(),
            connections: Protocol::ALL.iter().map(|p| connections.with_label_values(&[p.as_str()])).collect(),
            connections_active: Protocol::ALL
                .iter()
                .map(|p| connections_active.with_label_values(&[p.as_str()]))
                .collect(),
            connections_waiting: plain_gauge(&registry, names::CONNECTIONS_WAITING)?,
            tcp_bytes: Protocol::ALL.iter().map(bytes_of).collect(),
            http1_bytes: Shards::default(),
            http1_bytes_told: Mutex::default(),
            registry,
        })
    }

    /// The page in Prometheus' text format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        self.settle_bytes();
        let families = self.registry.gather();
        let mut page = TextEncoder::new().encode_to_string(&families)?;
        let mut kernel = self.kernel.get().map(|read| read()).unwrap_or_default();
        kernel.retain(|(name, ..)| families.iter().all(|family| family.name() != *name));
        write_kernel(&mut page, kernel);
        if let Some(bytes) = process::resident_bytes() {
            write_gauge(&mut page, names::RESIDENT_MEMORY, bytes);
        }
        if let Some(count) = process::open_fds() {
            write_gauge(&mut page, names::OPEN_FDS, count);
        }
        Ok(page)
    }

    /// How long held connections with this outcome were held.
    pub(crate) fn hold_duration(&self, outcome: HoldOutcome) -> &Histogram {
        &self.hold_duration[outcome as usize]
    }

    /// The label of a route's name.
    pub(crate) fn route(&self, name: &str) -> Label {
        self.labels.configured(name)
    }

    /// The number of the label of a route's name.
    pub(crate) fn route_id(&self, name: &str) -> LabelId {
        self.labels.configured_id(name)
    }

    /// The number of the label of a destination.
    pub(crate) fn upstream_id(&self, destination: &Destination) -> LabelId {
        match &destination.upstream {
            Some(name) => self.labels.configured_id(name),
            None => self.labels.implicit_id(destination.endpoint),
        }
    }

    /// The label of a destination: its upstream's name, else `ip:port`, else `other`.
    pub(crate) fn upstream(&self, destination: &Destination) -> Label {
        match &destination.upstream {
            Some(name) => self.labels.configured(name),
            None => self.labels.implicit(destination.endpoint),
        }
    }

    pub(crate) fn retry_given_up(&self, reason: GivenUpReason) -> &IntCounter {
        &self.retry_given_up[reason as usize]
    }

    pub(crate) fn self_tests(&self, result: TestResult) -> &IntCounter {
        &self.self_tests[result as usize]
    }

    pub(crate) fn connections(&self, protocol: Protocol) -> (&IntCounter, &IntGauge) {
        (&self.connections[protocol as usize], &self.connections_active[protocol as usize])
    }

    pub(crate) fn tcp_bytes(&self, protocol: Protocol) -> &[IntCounter; 2] {
        &self.tcp_bytes[protocol as usize]
    }

    /// A worker's own count of what HTTP/1 requests carry.
    pub(crate) fn http1_bytes(&self) -> Shard<2> {
        self.http1_bytes.shard()
    }

    /// Brings what workers have counted for themselves to where it is shown.
    fn settle_bytes(&self) {
        let mut told = self.http1_bytes_told.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.http1_bytes.sum();
        for ((counter, told), counted) in self.tcp_bytes(Protocol::Http1).iter().zip(&*told).zip(counted) {
            counter.inc_by(counted.wrapping_sub(*told));
        }
        *told = counted;
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn plain(registry: &Registry, name: Name) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::new(name.name, name.help)?)
}

fn plain_gauge(registry: &Registry, name: Name) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::new(name.name, name.help)?)
}

fn write_kernel(page: &mut String, mut counters: Vec<(&'static str, &'static str, u64)>) {
    counters.sort_unstable();
    let mut family = "";
    for (name, verdict, value) in counters {
        if name != family {
            family = name;
            let _ = writeln!(page, "# HELP {name} {}\n# TYPE {name} counter", names::kernel_help(name));
        }
        let _ = match verdict {
            "" => writeln!(page, "{name} {value}"),
            verdict => writeln!(page, "{name}{{verdict=\"{verdict}\"}} {value}"),
        };
    }
}

fn write_gauge(page: &mut String, Name { name, help }: Name, value: u64) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}

static NEXT_REGISTRY: AtomicU64 = AtomicU64::new(1);
