// SPDX-License-Identifier: Apache-2.0
//! Ambassador: retries, timeouts, a breaker and a limit, as far as its peers know them.

use ambassador_tests::{Ambassador, metrics};
use anyhow::Result;

use super::COUNTERS as PORT;
use crate::bench::programs::Programs;
use crate::bench::world::{Place, Service};

/// The page of its counters.
pub(super) const COUNTERS: &str = "/metrics";

/// A prepared `ambassador run`.
pub(crate) fn prepare(programs: &Programs, place: &Place) -> Result<Ambassador> {
    let exclude = match place.service {
        Service::Excluded => {
            format!("intercept: {{exclude: {{cidrs: [\"{}/32\"]}}}}\n", place.destination.ip())
        }
        Service::Http1 | Service::Http2 | Service::Tcp(_) => String::new(),
    };
    let yaml =
        format!("version: v1\n{POOL}{exclude}telemetry: {{metrics: {{listen: \"127.0.0.1:{PORT}\"}}}}\n");
    Ok(Ambassador::with_policy(FLAGS, &yaml)?.program(programs.ambassador.clone()))
}

/// Requests, or redirected connections.
pub(super) fn counted(page: &str, service: Service) -> Option<f64> {
    let (name, label) = match service {
        Service::Http1 | Service::Http2 => ("ambassador_http_client_request_duration_seconds_count", ""),
        Service::Tcp(_) | Service::Excluded => ("ambassador_bpf_connects_total", "verdict=\"redirect"),
    };
    metrics::seconds(page, name, label).ok()
}

const FLAGS: &str = "-q --retry 3 --timeout 5s --breaker 5";
/// A limit, and with it connections that wait for the next program: as the peers have.
const POOL: &str = "defaults: {connectionPool: {maxConnections: 8000}}\n";
