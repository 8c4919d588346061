// SPDX-License-Identifier: Apache-2.0
//! `upstreams`.

use std::sync::Arc;

use crate::config::node::At;
use crate::config::raw::RawUpstream;
use crate::policy::route::{Endpoint, Upstream};

use super::layers::Layers;
use super::{breaker, limits};

/// The upstream that `raw` describes; what it leaves open comes from the layers of `defaults`.
pub(super) fn upstream(layers: &mut Layers<'_, '_>, raw: &RawUpstream) -> Upstream {
    let default = Upstream::default();
    let own_breaker = raw.breaker.as_ref();
    let written = own_breaker.or_else(|| layers.stack.iter().find_map(|layer| layer.breaker)).cloned();
    let (limits, keep_idle) = limits::pool(layers, raw.limits.as_ref());
    Upstream {
        name: raw
            .name
            .as_ref()
            .map_or_else(|| Arc::clone(&default.name), |name| Arc::from(name.value.0.as_str())),
        endpoints: layers
            .note("endpoints", raw.endpoints.as_ref())
            .map(|list| list.0.iter().filter_map(|At { value, .. }| endpoint(value)).collect())
            .unwrap_or_default(),
        breaker: written.map(|written| breaker::breaker(layers, &written)),
        limits,
        keep_idle,
        ..Upstream::default()
    }
}

fn endpoint(raw: &crate::config::raw::RawEndpoint) -> Option<Endpoint> {
    let (host, port) = (raw.host.as_ref()?, raw.port.as_ref()?);
    Some(Endpoint { host: host.value.0.clone(), port: port.value.narrow() })
}
