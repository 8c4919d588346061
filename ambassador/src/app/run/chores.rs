// SPDX-License-Identifier: Apache-2.0
//! What goes on beside the workers for as long as CMD runs.
//!
//! Each chore begins anew after a panic: without it the proxy would go on to serve, by older and older names, or with
//! less and less room, and nobody would know.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::super::{duties::persist, proxy_down::ProxyDown, self_test::SelfTest};
use crate::{
    host::free_memory,
    proxy::held::Held,
    telemetry::{Telemetry, readiness::Readiness, scrape},
    upstream::endpoints::Endpoints,
};

/// What they take.
pub(super) struct Chores {
    /// Whose names are looked up again.
    pub(super) endpoints: Arc<Endpoints>,
    /// Is told of them.
    pub(super) proxy_down: ProxyDown,
    /// What is swept.
    pub(super) held: Option<Arc<Held>>,
    /// Where metrics are served, if they are.
    pub(super) metrics: Option<TcpListener>,
    /// What is tested, and how often, if it is.
    pub(super) self_test: (SelfTest, Option<Duration>),
    /// Where facts are said.
    pub(super) telemetry: Telemetry,
    /// What the self-test finds.
    pub(super) readiness: Arc<Readiness>,
}

impl Chores {
    /// Begins them; they end with the returned set.
    pub(super) fn begin(self) -> io::Result<JoinSet<()>> {
        let Self { endpoints, mut proxy_down, held, metrics, self_test, telemetry, readiness } = self;
        let mut chores = JoinSet::new();
        proxy_down.keep(&endpoints.names());
        chores.spawn(persist("looking up names", async move || {
            endpoints.keep_resolved(|names| proxy_down.keep(names)).await;
        }));
        if let Some(held) = held {
            chores.spawn(persist("sweeping held connections", async move || held.keep_swept().await));
        }
        chores.spawn(persist("giving back memory", free_memory::keep_giving_back));
        if let Some(listener) = metrics {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (telemetry, readiness) = (telemetry.clone(), Arc::clone(&readiness));
            chores.spawn(persist("serving metrics", async move || {
                scrape::serve(&listener, telemetry.clone(), Arc::clone(&readiness)).await;
            }));
        }
        if let (self_test, Some(period)) = self_test {
            chores.spawn(persist("the self-test", async move || {
                self_test.keep(period, &telemetry, &readiness).await;
            }));
        }
        Ok(chores)
    }
}
