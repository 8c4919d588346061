// SPDX-License-Identifier: Apache-2.0
//! Keeps the kernel told what to refuse while this process is stuck (`onProxyDown: refuse`).
//!
//! It must be told beforehand: a stuck process tells nothing. The entries hold only while the heartbeat is stale, so
//! that they change nothing for a living proxy; and they go with the kernel programs when the process dies.

use std::{collections::HashMap, sync::Arc};

use ipnet::IpNet;

use crate::{
    kernel::{KernelError, KernelMaps, RefuseRule, WhileStale},
    policy::{
        down,
        facts::Names,
        route::{OnProxyDown, RouteTable},
    },
};

/// The entries of the refuse list that `onProxyDown` makes.
pub(super) struct ProxyDown {
    maps: Arc<KernelMaps>,
    table: RouteTable,
    written: HashMap<(IpNet, Option<u16>), OnProxyDown>,
}

impl ProxyDown {
    /// The entries of `table`, none of them written yet. Says which routes cannot have any.
    pub(super) fn new(maps: Arc<KernelMaps>, table: RouteTable) -> Self {
        for route in down::beyond_addresses(&table) {
            tracing::warn!(
                route = &*route.name,
                "onProxyDown: refuse holds only for what addresses, ports and names without wildcards tell: \
                 the rest of this route goes direct while ambassador does not answer"
            );
        }
        Self { maps, table, written: HashMap::new() }
    }

    /// Writes the entries as the addresses of `names` make them, and removes those that are no longer due.
    pub(super) fn refresh(&mut self, names: &Names) -> Result<(), KernelError> {
        let rules = down::rules(&self.table, names);
        let due: HashMap<_, _> = rules.into_iter().map(|rule| ((rule.net, rule.port), rule.action)).collect();
        for (&(net, port), &action) in &due {
            if self.written.get(&(net, port)) == Some(&action) {
                continue;
            }
            match action {
                OnProxyDown::Refuse => self.maps.refuse(net, port, REFUSED)?,
                OnProxyDown::Bypass => self.maps.spare(net, port)?,
            }
            self.written.insert((net, port), action);
        }
        let past: Vec<_> = self.written.keys().filter(|target| !due.contains_key(target)).copied().collect();
        for (net, port) in past {
            self.maps.allow(net, port)?;
            self.written.remove(&(net, port));
        }
        Ok(())
    }

    /// As [`refresh`](Self::refresh), while traffic is served: what fails is tried again with the next names.
    pub(super) fn keep(&mut self, names: &Names) {
        if let Err(error) = self.refresh(names) {
            let error = anyhow::Error::from(error);
            tracing::warn!("the kernel is not told what onProxyDown refuses: {error:#}");
        }
    }
}

const REFUSED: RefuseRule =
    RefuseRule { errno: libc::ECONNREFUSED, until_ns: None, while_stale: WhileStale::HoldOnly };
