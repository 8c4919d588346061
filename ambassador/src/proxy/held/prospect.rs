// SPDX-License-Identifier: Apache-2.0
//! What the dialled address alone says of a connection that is held.

use std::sync::Arc;

use super::super::context::Context;
use crate::{
    message::flow::Flow,
    policy::{
        bulkhead::Permit,
        facts::L7Facts,
        matcher::Protocol,
        route::{ByDestination, ConnectMode},
    },
    upstream::{places, state::RouteState},
};

/// What the dialled address says of a connection that is held.
#[derive(Clone)]
pub(super) struct SynProspect {
    pub(super) mode: ConnectMode,
    /// The state of its route: the one that applies if the program claims no name.
    pub(super) state: Arc<RouteState>,
    pub(super) certainty: Certainty,
    pub(super) denied: bool,
}

/// Whether the first bytes can still change the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// They cannot.
    Decided,
    /// They can. A dial that fails belongs to this route, since nothing else will be known of it; but its open
    /// circuit breaker must not refuse a program that means another name at the same address.
    Likely,
}

impl SynProspect {
    /// The places that its connection needs among those that its route allows; `None` if some are not free.
    pub(super) fn places(&self) -> Option<Vec<Permit>> {
        let counts = self.certainty == Certainty::Decided && self.state.route.mode.acts() && !self.denied;
        if !counts {
            return Some(Vec::new());
        }
        // An open circuit breaker is to refuse it in `connect()` itself.
        places::try_enter(&self.state.bulkheads).or_else(|| (!self.state.is_closed()).then(Vec::new))
    }
}

impl Context {
    /// What is known of `flow` before its first byte.
    pub(super) fn syn_prospect(&self, flow: &Flow) -> SynProspect {
        let names = self.endpoints.names();
        let l4 = flow.l4();
        let (selection, certainty) = match self.table.for_destination(&l4, &names) {
            ByDestination::Decided(selection) => (selection, Certainty::Decided),
            ByDestination::Undecided { .. } => {
                (self.table.select(&l4, &L7Facts::of(Protocol::Opaque), &names), Certainty::Likely)
            }
        };
        SynProspect {
            mode: self.table.connect_mode(&l4, &names),
            state: self.states.of(selection.route, flow.original_dst),
            certainty,
            denied: certainty == Certainty::Decided && selection.denied && selection.route.mode.acts(),
        }
    }
}
