// SPDX-License-Identifier: Apache-2.0
//! The bare relay: what is left of a proxy when it does nothing but copy.

use std::ffi::OsString;

use anyhow::Result;

use super::{COUNTERS as PORT, LISTEN};
use crate::bench::programs::Programs;
use crate::bench::world::{Place, Service};

/// The page of its counters.
pub(super) const COUNTERS: &str = "/";

/// Its command line. It takes no configuration.
pub(super) fn command(programs: &Programs, place: &Place) -> Result<Vec<OsString>> {
    let words = [LISTEN.to_string(), place.destination.to_string(), PORT.to_string()];
    let relay = programs.peers()?.relay.clone();
    Ok(std::iter::once(relay.into()).chain(words.map(OsString::from)).collect())
}

/// Requests, or connections.
pub(super) fn counted(page: &str, service: Service) -> Option<f64> {
    let name = match service {
        Service::Http1 | Service::Http2 => "pieces ",
        Service::Tcp(_) | Service::Excluded => "connections ",
    };
    page.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}
