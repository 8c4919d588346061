// SPDX-License-Identifier: Apache-2.0
//! What a flow's routes leave to its two ends: where no policy can act on what requests say, or on them at all, nothing of
//! them is refused, held back or put off.

use super::{
    context::Context,
    http1::{pipelines::Pipelines, unclear::Unclear},
    http2::Greeting,
};
use crate::{
    message::flow::Flow,
    policy::route::{ByDestination, Selection},
};

/// What is done with a request of `flow` that cannot be read without a guess. Where nothing that requests say can
/// change what happens to them, the program must not notice that they are read.
pub(super) fn unclear(context: &Context, flow: &Flow) -> Unclear {
    match context.table.for_destination(&flow.l4(), &context.endpoints.names()) {
        ByDestination::Decided(selection) if !(selection.denied && selection.route.mode.acts()) => {
            Unclear::Relay
        }
        ByDestination::Undecided { .. } if !context.table.may_act() => Unclear::Relay,
        ByDestination::Decided(_) | ByDestination::Undecided { .. } => Unclear::Refuse,
    }
}

/// When a request of `flow` goes out that its program sends before it has the reply to another one.
pub(super) fn pipelines(context: &Context, flow: &Flow) -> Pipelines {
    let acts = match context.table.for_destination(&flow.l4(), &context.endpoints.names()) {
        ByDestination::Decided(Selection { route, denied, .. }) => {
            route.mode.acts() && (denied || !route.transparent)
        }
        ByDestination::Undecided { .. } => context.table.may_act(),
    };
    if acts { Pipelines::InTurn } else { Pipelines::AtOnce }
}

/// When the upstream of an HTTP/2 `flow` hears of it. A place among `maxConnections` is that of a request.
pub(super) fn greeting(context: &Context, flow: &Flow) -> Greeting {
    match context.table.for_destination(&flow.l4(), &context.endpoints.names()) {
        ByDestination::Decided(selection) if unclear(context, flow) == Unclear::Relay => {
            let state = context.states.of(selection.route, flow.original_dst);
            let is_bound = state.bulkheads.iter().any(|limits| limits.connections.limit().is_some());
            if is_bound { Greeting::WithStream } else { Greeting::AtOnce }
        }
        ByDestination::Undecided { .. } if !context.table.may_act() => Greeting::AtOnce,
        ByDestination::Decided(_) | ByDestination::Undecided { .. } => Greeting::WithStream,
    }
}
