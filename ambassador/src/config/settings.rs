// SPDX-License-Identifier: Apache-2.0
//! The compiled configuration: what the rest of the program reads.
//!
//! Everything here is checked and complete; nobody after this point asks whether a field was written. It is replaced
//! as a whole by a reload and never changed in place.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::policy::route::{RouteTable, Upstream};

use super::origin::Origins;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The routes, and the default route with the policies of `defaults` and of the command line.
    pub table: RouteTable,
    /// The upstreams, in the order of the file.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Which connections are intercepted.
    pub intercept: Intercept,
    /// Metrics and logs.
    pub telemetry: Telemetry,
    /// Where each policy value comes from.
    pub origins: Origins,
}

/// Which connections are intercepted (`intercept`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercept {
    /// Destinations that are left alone (`exclude.cidrs`).
    pub exclude_cidrs: Vec<IpNet>,
    /// Destination ports that are left alone (`exclude.ports`).
    pub exclude_ports: Vec<u16>,
    /// Whether loopback destinations are intercepted too (`loopback`).
    pub loopback: bool,
    /// Between two self-tests (`selfTest`); `None`: only the one at start.
    pub self_test: Option<Duration>,
}

impl Default for Intercept {
    fn default() -> Self {
        Self {
            exclude_cidrs: Vec::new(),
            exclude_ports: Vec::new(),
            loopback: false,
            self_test: Some(Duration::from_secs(30)),
        }
    }
}

/// Metrics and logs (`telemetry`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// Where `/metrics` and the health checks are served; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The access log; `None`: no file.
    pub access_log: Option<AccessLog>,
}

/// The access log (`telemetry.accessLog`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file that lines are appended to.
    pub path: PathBuf,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of a log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// A line for people.
    Text,
}
