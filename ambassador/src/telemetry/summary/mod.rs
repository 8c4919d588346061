// SPDX-License-Identifier: Apache-2.0
//! What happened per destination over the life of the process: the closing summary of `ambassador run`.
//!
//! A destination is what a person calls it: the Host or SNI if there is one, else `ip:port`. These names come from
//! traffic, so their number is bounded and the rest is counted in `other`. Each worker counts for itself (`rows`), so
//! that recording is a few additions without a lock.

mod address_text;
mod histogram;
mod report;
mod rows;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::event::{BreakerTransition, Event, FlowFinished, RequestFinished};
use crate::telemetry::interner::Interner;
use crate::telemetry::labels::{ErrorType, Protocol};

use address_text::AddressText;
pub use report::{Row, Summary};
use rows::{Counts, Own, Part, with_own};

/// Counts per destination.
pub(crate) struct Destinations {
    id: u64,
    rows: Interner<String, Arc<Counts>>,
    other: Arc<Counts>,
}

impl Destinations {
    /// Keeps at most `cap` destinations apart.
    pub(crate) fn new(cap: usize) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, rows: Interner::new(cap), other: Arc::default() }
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
            counts.add(Part::BreakerEvents, 1);
        });
    }

    fn count(&self, host: &str, endpoint: SocketAddr, add: impl FnOnce(&mut Own)) {
        let mut address = AddressText::default();
        let name = match host {
            host if host.is_empty() || host.len() > MAX_NAME => Cow::Borrowed(address.of(endpoint)),
            host if host.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(host.to_ascii_lowercase())
            }
            host => Cow::Borrowed(host),
        };
        let row = || self.rows.intern(&*name, Arc::default);
        with_own(self.id, &name, row, &self.other, add);
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

impl Own {
    fn call(&mut self, call: &Call) {
        self.add(Part::Requests, 1);
        for (part, amount) in [
            (Part::Failures, call.failures),
            (Part::Unanswered, call.unanswered),
            (Part::Rescues, call.rescues),
            (Part::BytesSent, call.bytes.0),
            (Part::BytesReceived, call.bytes.1),
        ] {
            if amount > 0 {
                self.add(part, amount);
            }
        }
        self.met(call.protocol);
        self.took(call.duration);
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A DNS name has at most 253 bytes, a port five digits.
const MAX_NAME: usize = 259;

#[cfg(test)]
mod tests;
