// SPDX-License-Identifier: Apache-2.0
//! Events that the tests of this module start from.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::event::{Caller, Destination, FlowFinished, RequestFinished, RetryReason};
use crate::telemetry::labels::{ErrorType, Protocol};
use crate::telemetry::shadow::Shadowed;

/// A GET that was answered by 200 in 12 ms at its second attempt.
pub(crate) fn rescued() -> RequestFinished<'static> {
    RequestFinished {
        route: Cow::Borrowed("payments"),
        destination: upstream("payments"),
        protocol: Protocol::Http1,
        method: Cow::Borrowed("GET"),
        host: Cow::Borrowed("api.example"),
        path: Cow::Borrowed("/x?y=1"),
        status: Some(200),
        grpc_status: None,
        error: None,
        duration: Duration::from_micros(12_345),
        attempts: 2,
        retry_reason: Some(RetryReason::Status(503)),
        given_up: None,
        rescued: true,
        shadow: Shadowed::default(),
        bytes_sent: 120,
        bytes_received: 4_096,
        caller: caller("curl"),
    }
}

/// A request that ambassador refused because the breaker is open.
pub(crate) fn refused() -> RequestFinished<'static> {
    RequestFinished {
        method: Cow::Borrowed("BREW"),
        path: Cow::Borrowed("/pot"),
        status: Some(503),
        error: Some(ErrorType::CircuitOpen),
        duration: Duration::from_micros(40),
        attempts: 0,
        retry_reason: None,
        given_up: None,
        rescued: false,
        bytes_sent: 0,
        bytes_received: 90,
        ..rescued()
    }
}

/// A TLS session of psql to an address without a configured upstream.
pub(crate) fn tls() -> FlowFinished<'static> {
    FlowFinished {
        route: Arc::from("default"),
        destination: original("192.0.2.7:5432"),
        protocol: Protocol::Tls,
        sni: Some(Cow::Borrowed("db.example")),
        alpn: Some(Cow::Borrowed("postgresql")),
        error: None,
        duration: Duration::from_millis(1_250),
        attempts: 1,
        rescued: false,
        given_up: None,
        shadow: Shadowed::default(),
        bytes_sent: 1_536,
        bytes_received: 3 << 20,
        caller: caller("psql"),
    }
}

/// A flow whose destination refused the connection.
pub(crate) fn dead_redis() -> FlowFinished<'static> {
    FlowFinished {
        destination: original("[2001:db8::1]:6379"),
        protocol: Protocol::Opaque,
        sni: None,
        alpn: None,
        error: Some(ErrorType::ConnectRefused),
        duration: Duration::from_micros(310),
        attempts: 3,
        bytes_sent: 0,
        bytes_received: 0,
        caller: caller("redis-cli"),
        ..tls()
    }
}

pub(crate) fn upstream(name: &str) -> Destination {
    Destination { upstream: Some(Arc::from(name)), ..original("192.0.2.1:80") }
}

pub(crate) fn original(addr: &str) -> Destination {
    Destination { upstream: None, endpoint: addr.parse::<SocketAddr>().unwrap() }
}

fn caller(name: &str) -> Caller {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    Caller { pid: 123, comm, cgroup_id: 4_711 }
}
