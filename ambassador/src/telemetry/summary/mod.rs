// SPDX-License-Identifier: Apache-2.0
//! What happened per destination over the life of the process: the closing summary of `ambassador run`.
//!
//! A destination is what a person calls it: the Host or SNI if there is one, else `ip:port`. These names come from
//! traffic, so their number is bounded and the rest is counted in `other`. Workers share the rows; recording is a few
//! relaxed additions without a lock.

mod address_text;
mod histogram;
mod report;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::event::{BreakerTransition, Event, FlowFinished, RequestFinished};
use crate::telemetry::interner::Interner;
use crate::telemetry::labels::{ErrorType, Protocol};

use address_text::AddressText;
use histogram::Histogram;
pub use report::{Row, Summary};

/// Counts per destination.
pub(crate) struct Destinations {
    rows: Interner<String, Arc<Counts>>,
    other: Arc<Counts>,
}

impl Destinations {
    /// Keeps at most `cap` destinations apart.
    pub(crate) fn new(cap: usize) -> Self {
        Self { rows: Interner::new(cap), other: Arc::new(Counts::new()) }
    }

    /// Counts one fact.
    pub(crate) fn record(&self, event: &Event<'_>) {
        match event {
            Event::RequestFinished(request) => self.request(request),
            Event::FlowFinished(flow) => self.flow(flow),
            Event::BreakerTransition(transition) => self.transition(transition),
            _ => {}
        }
    }

    /// What has been counted until now.
    pub(crate) fn summary(&self, access_log_dropped: u64) -> Summary {
        let rows = self.rows.snapshot();
        let mut rows: Vec<Row> = rows.iter().map(|(name, counts)| counts.row(name)).collect();
        rows.sort_by(|one, two| two.requests.cmp(&one.requests).then_with(|| one.name.cmp(&two.name)));
        let other = self.other.row("other");
        if !other.is_empty() {
            rows.push(other);
        }
        Summary::new(rows, access_log_dropped)
    }

    fn request(&self, request: &RequestFinished<'_>) {
        let host = request.host.strip_suffix(":80").unwrap_or(&request.host);
        let call = Call {
            protocol: request.protocol,
            failures: u64::from(request.is_failure()),
            unanswered: 0,
            rescues: u64::from(request.rescued),
            bytes: (request.bytes_sent, request.bytes_received),
            duration: request.duration,
        };
        self.count(host, request.destination.endpoint, |counts| counts.call(&call));
    }

    fn flow(&self, flow: &FlowFinished<'_>) {
        let endpoint = flow.destination.endpoint;
        let name = match &flow.sni {
            None => Cow::Borrowed(""),
            Some(sni) if endpoint.port() == 443 => Cow::Borrowed(&**sni),
            Some(sni) => Cow::Owned(format!("{sni}:{}", endpoint.port())),
        };
        let call = Call {
            protocol: flow.protocol,
            failures: u64::from(flow.is_failure()),
            unanswered: u64::from(flow.error == Some(ErrorType::ConnectUnanswered)),
            rescues: u64::from(flow.rescued),
            bytes: (flow.bytes_sent, flow.bytes_received),
            duration: flow.duration,
        };
        self.count(&name, endpoint, |counts| counts.call(&call));
    }

    fn transition(&self, transition: &BreakerTransition<'_>) {
        let host = transition.host.as_deref().unwrap_or("");
        self.count(host, transition.destination.endpoint, |counts| {
            counts.breaker_events.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn count(&self, host: &str, endpoint: SocketAddr, add: impl Fn(&Counts)) {
        let mut address = AddressText::default();
        let name = match host {
            host if host.is_empty() || host.len() > MAX_NAME => Cow::Borrowed(address.of(endpoint)),
            host if host.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(host.to_ascii_lowercase())
            }
            host => Cow::Borrowed(host),
        };
        if self.rows.read(&*name, || Arc::new(Counts::new()), |counts| add(counts)).is_none() {
            add(&self.other);
        }
    }
}

/// One request or flow.
struct Call {
    protocol: Protocol,
    failures: u64,
    unanswered: u64,
    rescues: u64,
    bytes: (u64, u64),
    duration: Duration,
}

/// Counts of one destination.
#[derive(Debug)]
struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
    unanswered: AtomicU64,
    rescues: AtomicU64,
    breaker_events: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    /// A bit per [`Protocol`].
    protocols: AtomicU8,
    durations: Histogram,
}

impl Counts {
    fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            requests: zero(),
            failures: zero(),
            unanswered: zero(),
            rescues: zero(),
            breaker_events: zero(),
            bytes_sent: zero(),
            bytes_received: zero(),
            protocols: AtomicU8::new(0),
            durations: Histogram::new(),
        }
    }

    fn call(&self, call: &Call) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        for (counter, amount) in [
            (&self.failures, call.failures),
            (&self.unanswered, call.unanswered),
            (&self.rescues, call.rescues),
            (&self.bytes_sent, call.bytes.0),
            (&self.bytes_received, call.bytes.1),
        ] {
            if amount > 0 {
                counter.fetch_add(amount, Ordering::Relaxed);
            }
        }
        let protocol = 1 << call.protocol as u8;
        if self.protocols.load(Ordering::Relaxed) & protocol == 0 {
            self.protocols.fetch_or(protocol, Ordering::Relaxed);
        }
        self.durations.record(call.duration);
    }

    fn row(&self, name: &str) -> Row {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let protocols = self.protocols.load(Ordering::Relaxed);
        let quantiles = self.durations.percentiles([50, 99]);
        Row {
            name: name.to_owned(),
            protocols: Protocol::ALL.iter().copied().filter(|p| protocols & (1 << *p as u8) != 0).collect(),
            requests: of(&self.requests),
            failures: of(&self.failures),
            unanswered: of(&self.unanswered),
            rescues: of(&self.rescues),
            breaker_events: of(&self.breaker_events),
            bytes_sent: of(&self.bytes_sent),
            bytes_received: of(&self.bytes_received),
            p50: quantiles.map(|[p50, _]| p50),
            p99: quantiles.map(|[_, p99]| p99),
        }
    }
}

/// A DNS name has at most 253 bytes, a port five digits.
const MAX_NAME: usize = 259;

#[cfg(test)]
mod tests;
