// SPDX-License-Identifier: Apache-2.0
//! [`Labels`]: the texts of labels, each kept once under a number.
//!
//! Names of the configuration and addresses that traffic brought, under a cap each; what comes after it is `other`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::telemetry::handles::{LabelId, OTHER};
use crate::telemetry::interner::Interner;

/// An interned label text.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) id: LabelId,
    pub(crate) text: Arc<str>,
}

/// Interned label texts: names out of the configuration, and addresses that traffic brought.
pub(crate) struct Labels {
    next: AtomicU32,
    configured: Interner<String, Label>,
    implicit: Interner<SocketAddr, Label>,
    other: Label,
}

impl Labels {
    /// None yet; at most `destination_cap` addresses get a label.
    pub(crate) fn new(destination_cap: usize) -> Self {
        Self {
            next: AtomicU32::new(OTHER + 1),
            configured: Interner::new(CONFIGURED_CAP),
            implicit: Interner::new(destination_cap),
            other: Label { id: OTHER, text: Arc::from("other") },
        }
    }

    /// The label of a name out of the configuration.
    pub(crate) fn configured(&self, name: &str) -> Label {
        self.configured.intern(name, || self.label(name)).unwrap_or_else(|| self.other.clone())
    }

    /// The label of an address.
    pub(crate) fn implicit(&self, addr: SocketAddr) -> Label {
        self.implicit.intern(&addr, || self.label(&addr.to_string())).unwrap_or_else(|| self.other.clone())
    }

    /// Its number.
    pub(crate) fn configured_id(&self, name: &str) -> LabelId {
        self.configured.read(name, || self.label(name), |label| label.id).unwrap_or(OTHER)
    }

    /// Its number.
    pub(crate) fn implicit_id(&self, addr: SocketAddr) -> LabelId {
        let make = || self.label(&addr.to_string());
        self.implicit.read(&addr, make, |label| label.id).unwrap_or(OTHER)
    }

    fn label(&self, text: &str) -> Label {
        Label { id: self.next.fetch_add(1, Ordering::Relaxed), text: Arc::from(text) }
    }
}

/// Names of routes and upstreams over all reloads of one process.
const CONFIGURED_CAP: usize = 4096;
