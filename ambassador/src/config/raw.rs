// SPDX-License-Identifier: Apache-2.0
//! The document as it is written: every mapping, its keys in camelCase, and what each means.
//!
//! These lines are also the reference: `ambassador schema` prints their comments. Nothing here decides anything; a
//! field that is absent stays absent until `compile` fills in the default.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::policy::matcher::{HostPattern, PathMatch, Protocol};
use crate::policy::mode::Mode;
use crate::policy::route::{ConnectMode, OnProxyDown};

use super::node::At;
use super::scalar::{Limit, Port};
use super::settings::LogFormat;
use super::shape::{Filled, shape};
use super::text::{App, Host, Method, Name};
use super::words::{OutboundPolicy, Version, Word};

pub(crate) use policies::{RawBreaker, RawLimits, RawRetry, RawTimeouts, RawWindow};

mod policies;

/// A list whose entries know their place.
pub(crate) type List<T> = Vec<At<T>>;

shape! {
    /// The configuration of ambassador.
    pub(crate) struct RawConfig as "the file" {
        /// The version of this document: `v1`.
        "version" => version: Word<Version>, required;
        /// Which connections are intercepted at all.
        "intercept" => intercept: RawIntercept;
        /// What happens to a connection that no route matches. Default: Allow.
        "outboundTrafficPolicy" => outbound: Word<OutboundPolicy>;
        /// Metrics and logs.
        "telemetry" => telemetry: RawTelemetry;
        /// Policies of every connection, unless its route says otherwise.
        "defaults" => defaults: RawPolicy;
        /// Rules in order; the first that matches wins.
        "routes" => routes: List<RawRoute>;
        /// Named destinations.
        "upstreams" => upstreams: List<RawUpstream>;
    }
}

shape! {
    /// Which connections are intercepted.
    pub(crate) struct RawIntercept as "intercept" {
        /// What is left alone.
        "exclude" => exclude: RawExclude;
        /// Whether connections to loopback addresses are intercepted too. Default: false.
        "loopback" => loopback: bool;
        /// How often it is tested that connections are intercepted, after the test at start; `0s`: only then.
        /// Default: 30s.
        "selfTest" => self_test: Limit;
    }
}

shape! {
    /// Connections that go direct, untouched and unseen.
    pub(crate) struct RawExclude as "exclude" {
        /// Networks or single addresses that are dialled.
        "cidrs" => cidrs: List<IpNet>;
        /// Ports that are dialled.
        "ports" => ports: List<Port>;
    }
}

shape! {
    /// Metrics and logs.
    pub(crate) struct RawTelemetry as "telemetry" {
        /// Prometheus metrics and health.
        "metrics" => metrics: RawMetrics;
        /// One line per request or opaque connection.
        "accessLog" => access_log: RawAccessLog;
    }
}

shape! {
    /// Prometheus metrics and health.
    pub(crate) struct RawMetrics as "metrics" {
        /// Where /metrics, /livez, /readyz and /healthz are served, as `address:port`. Default: nowhere.
        "listen" => listen: SocketAddr, required;
    }
}

shape! {
    /// The access log.
    pub(crate) struct RawAccessLog as "accessLog" {
        /// The file that lines are appended to.
        "path" => path: PathBuf, required;
        /// How a line looks. Default: json.
        "format" => format: Word<LogFormat>;
    }
}

shape! {
    /// Policies that apply where a route does not set its own.
    pub(crate) struct RawPolicy as "defaults" {
        /// Whether policies act, only say what they would have done, or rest. Default: enforce.
        "mode" => mode: Word<Mode>;
        /// Time limits.
        "timeouts" => timeouts: RawTimeouts;
        /// Retries.
        "retry" => retry: RawRetry;
        /// The circuit breaker, one per destination.
        "circuitBreaker" => breaker: RawBreaker;
        /// Limits of what is under way at once.
        "connectionPool" => limits: RawLimits;
        /// What happens to new connections while ambassador does not answer. Default: bypass.
        "onProxyDown" => on_proxy_down: Word<OnProxyDown>;
        /// When a connect succeeds: when the destination has accepted, or at once. Default: truthful, and eager where
        /// the route's upstream has endpoints.
        "connect" => connect: Word<ConnectMode>;
    }
}

shape! {
    /// A rule: what it matches and what it does.
    pub(crate) struct RawRoute as "a route" {
        /// The name, a label of metrics and logs.
        "name" => name: Name, required;
        /// What it matches; absent: everything.
        "match" => matcher: RawMatch;
        /// The name of the upstream it goes to; absent: the address that the program dialled.
        "upstream" => upstream: Name;
        /// Whether policies act, only say what they would have done, or rest. Default: enforce.
        "mode" => mode: Word<Mode>;
        /// Time limits.
        "timeouts" => timeouts: RawTimeouts;
        /// Retries.
        "retry" => retry: RawRetry;
        /// A circuit breaker of this route, besides the upstream's.
        "circuitBreaker" => breaker: RawBreaker;
        /// Limits of this route, besides the upstream's.
        "connectionPool" => limits: RawLimits;
        /// What happens to new connections while ambassador does not answer. Default: bypass.
        "onProxyDown" => on_proxy_down: Word<OnProxyDown>;
        /// When a connect succeeds: when the destination has accepted, or at once. Default: truthful, and eager where
        /// the route's upstream has endpoints.
        "connect" => connect: Word<ConnectMode>;
    }
}

shape! {
    /// Criteria that must all hold; each holds if one of its entries does.
    pub(crate) struct RawMatch as "match" {
        /// Names: the HTTP Host, the TLS SNI, or a configured endpoint's name. `*.example.com` matches below it.
        "hosts" => hosts: Filled<HostPattern>;
        /// Dialled ports.
        "ports" => ports: Filled<Port>;
        /// HTTP methods.
        "methods" => methods: Filled<Method>;
        /// HTTP paths, without the query.
        "paths" => paths: Filled<PathMatch>;
        /// Networks or single addresses that are dialled.
        "cidrs" => cidrs: Filled<IpNet>;
        /// The protocol that the connection speaks.
        "protocol" => protocol: Word<Protocol>;
        /// Names of calling programs, as the kernel knows them (up to 15 bytes).
        "apps" => apps: Filled<App>;
    }
}

shape! {
    /// A named destination.
    pub(crate) struct RawUpstream as "an upstream" {
        /// The name, a label of metrics and logs.
        "name" => name: Name, required;
        /// Where it is; absent: the address that the program dialled.
        "endpoints" => endpoints: Filled<RawEndpoint>;
        /// Limits of what is under way at once, over all routes to it.
        "connectionPool" => limits: RawLimits;
        /// Its circuit breaker, shared by all routes to it.
        "circuitBreaker" => breaker: RawBreaker;
    }
}

shape! {
    /// One endpoint.
    pub(crate) struct RawEndpoint as "an endpoint" {
        /// A name or an IP address.
        "host" => host: Host, required;
        /// The TCP port.
        "port" => port: Port, required;
    }
}
