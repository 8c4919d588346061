// SPDX-License-Identifier: Apache-2.0
//! `match`.

use crate::config::node::{At, Place};
use crate::config::problem::Problem;
use crate::config::raw::RawMatch;
use crate::config::reader::Reader;
use crate::config::shape::Filled;
use crate::policy::matcher::{Match, Protocol};

/// The criteria that `raw` describes.
pub(super) fn matcher(raw: Option<&At<RawMatch>>, reader: &mut Reader) -> Match {
    let Some(At { value: raw, .. }) = raw else { return Match::default() };
    let protocol = raw.protocol.as_ref().map(|at| at.value.0);
    if let Some(protocol @ (Protocol::Tls | Protocol::Opaque)) = protocol {
        let mut refuse = |key, place: Option<Place>| {
            if let Some(place) = place {
                reader.problem(place, Problem::NeverMatches { key, protocol: protocol.as_str() });
            }
        };
        refuse("methods", raw.methods.as_ref().map(|at| at.place));
        refuse("paths", raw.paths.as_ref().map(|at| at.place));
    }
    Match {
        hosts: entries(raw.hosts.as_ref(), Clone::clone),
        cidrs: entries(raw.cidrs.as_ref(), |cidr| *cidr),
        ports: entries(raw.ports.as_ref(), |port| port.narrow()),
        methods: entries(raw.methods.as_ref(), |method| method.0.clone()),
        paths: entries(raw.paths.as_ref(), Clone::clone),
        protocol,
        apps: entries(raw.apps.as_ref(), |app| app.0.clone()),
    }
}

/// The protocol that a route declares, so that nothing is detected: only where the dialled address alone selects the
/// route, and only `opaque`. The others are detected without delay, and a wrong word here must not break a flow.
pub(super) fn declared(matcher: &Match) -> Option<Protocol> {
    let by_address = !matcher.ports.is_empty() || !matcher.cidrs.is_empty();
    matcher.protocol.filter(|protocol| by_address && *protocol == Protocol::Opaque)
}

fn entries<T, U>(list: Option<&At<Filled<T>>>, convert: impl Fn(&T) -> U) -> Vec<U> {
    list.map(|at| at.value.0.iter().map(|entry| convert(&entry.value)).collect()).unwrap_or_default()
}
