// SPDX-License-Identifier: Apache-2.0
//! The JSON line. Fields that do not apply are left out; their names are part of the interface.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Serialize;

use crate::telemetry::event::{Caller, FlowFinished, RequestFinished};
use crate::telemetry::labels::{ErrorType, GivenUpReason, ShadowDecision};
use crate::telemetry::safe_json;
use crate::telemetry::shadow::Shadowed;
use crate::telemetry::units::milliseconds;

/// The line of a request.
pub(super) fn request(request: &RequestFinished<'_>, now: Timestamp) -> String {
    render(&Line {
        time: Shown(format_args!("{now:.3}")),
        app: App::of(&request.caller),
        route: &request.route,
        upstream: request.destination.upstream.as_deref(),
        endpoint: request.destination.endpoint,
        protocol: request.protocol.as_str(),
        method: Some(&request.method),
        host: Some(&request.host),
        path: Some(&request.path),
        status: request.status,
        grpc_status: request.grpc_status,
        duration_ms: milliseconds(request.duration),
        attempts: request.attempts,
        retry_reason: request.retry_reason.map(|reason| reason.to_string()),
        retry_given_up: request.given_up.map(GivenUpReason::as_str),
        shadow: words(request.shadow),
        bytes_sent: request.bytes_sent,
        bytes_received: request.bytes_received,
        tls: None,
        error: request.error.map(ErrorType::as_str),
    })
}

/// The line of a flow that is relayed as bytes.
pub(super) fn flow(flow: &FlowFinished<'_>, now: Timestamp) -> String {
    let tls = Tls { sni: flow.sni.as_deref(), alpn: flow.alpn.as_deref() };
    render(&Line {
        time: Shown(format_args!("{now:.3}")),
        app: App::of(&flow.caller),
        route: &flow.route,
        upstream: flow.destination.upstream.as_deref(),
        endpoint: flow.destination.endpoint,
        protocol: flow.protocol.as_str(),
        method: None,
        host: None,
        path: None,
        status: None,
        grpc_status: None,
        duration_ms: milliseconds(flow.duration),
        attempts: flow.attempts,
        retry_reason: None,
        retry_given_up: flow.given_up.map(GivenUpReason::as_str),
        shadow: words(flow.shadow),
        bytes_sent: flow.bytes_sent,
        bytes_received: flow.bytes_received,
        tls: (tls.sni.is_some() || tls.alpn.is_some()).then_some(tls),
        error: flow.error.map(ErrorType::as_str),
    })
}

#[derive(Serialize)]
struct Line<'a> {
    time: Shown<'a>,
    app: App<'a>,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    endpoint: SocketAddr,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    duration_ms: f64,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_given_up: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow: Vec<&'static str>,
    bytes_sent: u64,
    bytes_received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

#[derive(Serialize)]
struct App<'a> {
    pid: u32,
    comm: Cow<'a, str>,
    cgroup_id: u64,
}

impl<'a> App<'a> {
    fn of(caller: &'a Caller) -> Self {
        Self { pid: caller.pid, comm: caller.comm(), cgroup_id: caller.cgroup_id }
    }
}

#[derive(Serialize)]
struct Tls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
}

/// Serializes what it displays as, without a `String` in between.
struct Shown<'a>(fmt::Arguments<'a>);

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn words(shadow: Shadowed) -> Vec<&'static str> {
    shadow.iter().map(ShadowDecision::as_str).collect()
}

fn render(line: &Line<'_>) -> String {
    let mut text = safe_json::to_string(line, 512).unwrap_or_else(|error| {
        tracing::error!(%error, "access log line could not be made");
        String::new()
    });
    text.push('\n');
    text
}
