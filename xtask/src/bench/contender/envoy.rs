// SPDX-License-Identifier: Apache-2.0
//! Envoy: original destination, retries, circuit-breaker thresholds that nothing here reaches, outlier detection.

use std::ffi::OsString;

use anyhow::Result;

use super::{COUNTERS as PORT, LISTEN};
use crate::bench::programs::Programs;
use crate::bench::world::{Place, Service};

/// The page of its counters.
pub(super) const COUNTERS: &str = "/stats?filter=program.downstream";

/// Its command line, but for the configuration.
pub(super) fn command(programs: &Programs) -> Result<Vec<OsString>> {
    let binary = std::fs::canonicalize(&programs.peers()?.envoy)?;
    let words = ["--concurrency", "2", "--disable-hot-restart", "--log-level", "error", "-c"];
    Ok(std::iter::once(binary.into()).chain(words.map(OsString::from)).collect())
}

/// Its configuration for `place`.
pub(super) fn configuration(place: &Place) -> String {
    let (filter, options) = match place.service {
        Service::Http1 => (HTTP.replace("CODEC", "HTTP1"), String::new()),
        Service::Http2 => (HTTP.replace("CODEC", "HTTP2"), UPSTREAM_HTTP2.to_owned()),
        Service::Tcp(_) | Service::Excluded => (TCP.to_owned(), String::new()),
    };
    format!(
        "
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {PORT}}}}}}}
static_resources:
  listeners:
  - name: outbound
    address: {{socket_address: {{address: 0.0.0.0, port_value: {LISTEN}}}}}
    listener_filters:
    - name: envoy.filters.listener.original_dst
      typed_config: {{\"@type\": {EXTENSIONS}.filters.listener.original_dst.v3.OriginalDst}}
    filter_chains:
    - filters:
{filter}
  clusters:
  - name: original
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    connect_timeout: 1s
    circuit_breakers:
      thresholds: [{{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000, max_retries: 3}}]
    outlier_detection: {{consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s}}
{options}"
    )
    .replace("EXTENSIONS", EXTENSIONS)
}

/// Requests, or connections.
pub(super) fn counted(page: &str, service: Service) -> Option<f64> {
    let name = match service {
        Service::Http1 | Service::Http2 => "http.program.downstream_rq_total: ",
        Service::Tcp(_) | Service::Excluded => "tcp.program.downstream_cx_total: ",
    };
    page.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";
const HTTP: &str = "      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": EXTENSIONS.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: program
          codec_type: CODEC
          generate_request_id: false
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {\"@type\": EXTENSIONS.filters.http.router.v3.Router, suppress_envoy_headers: true}
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {prefix: /}
                route:
                  cluster: original
                  timeout: 5s
                  retry_policy: {retry_on: \"connect-failure,reset,gateway-error,refused-stream\", num_retries: 3}";
const TCP: &str = "      - name: envoy.filters.network.tcp_proxy
        typed_config:
          \"@type\": EXTENSIONS.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: program
          cluster: original
          max_connect_attempts: 3";
const UPSTREAM_HTTP2: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": EXTENSIONS.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
";
