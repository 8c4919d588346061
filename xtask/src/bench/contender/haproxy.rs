// SPDX-License-Identifier: Apache-2.0
//! `HAProxy`: one configured server, retries, `maxconn`, and ejection by what is observed.

use std::ffi::OsString;

use super::{COUNTERS as PORT, LISTEN};
use crate::bench::world::{Place, Service};

/// The page of its counters.
pub(super) const COUNTERS: &str = "/;csv";

/// Its command line, but for the configuration.
pub(super) fn command() -> Vec<OsString> {
    ["haproxy", "-db", "-q", "-f"].map(OsString::from).to_vec()
}

/// Its configuration for `place`.
pub(super) fn configuration(place: &Place) -> String {
    let (mode, options, observe, protocol) = match place.service {
        Service::Http1 => ("http", RETRY, "layer7", ""),
        Service::Http2 => ("http", RETRY, "layer7", " proto h2"),
        Service::Tcp(_) | Service::Excluded => ("tcp", "", "layer4", ""),
    };
    let destination = place.destination;
    format!(
        "global
    nbthread 2
    maxconn 8000
defaults
    mode {mode}
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch
{options}
frontend program
    bind 0.0.0.0:{LISTEN}{protocol}
    default_backend origin
backend origin
    server origin {destination} maxconn 8000 check inter 10s observe {observe} error-limit 50 on-error mark-down{protocol}
listen counters
    mode http
    bind 127.0.0.1:{PORT}
    stats enable
    stats uri /
"
    )
}

/// Requests, or sessions, of the frontend.
pub(super) fn counted(page: &str, service: Service) -> Option<f64> {
    let column = match service {
        Service::Http1 | Service::Http2 => "req_tot",
        Service::Tcp(_) | Service::Excluded => "stot",
    };
    let head = page.lines().find_map(|line| line.strip_prefix("# "))?;
    let index = head.split(',').position(|name| name == column)?;
    let row = page.lines().find(|line| line.starts_with("program,FRONTEND,"))?;
    row.split(',').nth(index)?.parse().ok()
}

const RETRY: &str = "    http-reuse always
    retry-on conn-failure empty-response response-timeout 502 503 504";
