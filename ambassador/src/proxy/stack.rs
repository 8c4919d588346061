// SPDX-License-Identifier: Apache-2.0
//! THE order of the stages that every HTTP request passes, and why each stands where it does.

use std::sync::Arc;

use crate::{
    layer::{
        admit::Admit, balance::Balance, bulkhead::BulkheadStage, deadline::DeadlineStage, log::Log,
        per_try::PerTry, rescue::Rescue, retry::Retry, route::RouteStage, sample::Sample,
    },
    message::{Stack, stage::Stage},
    policy::route::RouteTable,
    telemetry::Telemetry,
    upstream::{endpoints::Endpoints, exchange::Exchange, state::States},
};

/// Builds the stack; it is shared by all workers and holds nothing of a request.
pub fn build(
    table: &Arc<RouteTable>,
    states: &Arc<States>,
    endpoints: &Arc<Endpoints>,
    telemetry: &Telemetry,
) -> Stack {
    // From the inside out.
    let stage = Exchange; // one exchange on a connection of the pool, or on a fresh one
    let stage = Balance::layer(stage, Arc::clone(endpoints)); // each attempt has an endpoint of its own
    let stage = PerTry::layer(stage); // the time limit of one attempt; inside `sample`, which counts it as a failure
    let stage = Sample::layer(stage); // measures what retry may hide
    let stage = Retry::layer(stage); // everything outside of it sees one request, however many attempts
    let stage = Admit::layer(stage); // an open breaker refuses before the first attempt, not each of them
    let stage = BulkheadStage::layer(stage); // waiting for a place must not hold a half-open breaker's probe
    let stage = DeadlineStage::layer(stage); // the whole time: waiting for a place, attempts, backoff, body
    let stage = Rescue::layer(stage); // the only place where an error becomes a reply
    let stage = Log::layer(stage); // says what the program saw, rescued or not
    // Outermost, because all others read the plan: matched once, even if the request is tried five times.
    let stage = RouteStage::layer(
        stage,
        Arc::clone(table),
        Arc::clone(states),
        Arc::clone(endpoints),
        telemetry.clone(),
    );
    Stage::new(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_stages() {
        let table = Arc::default();
        let telemetry = Telemetry::silent();
        let states = Arc::new(States::new(telemetry.clone()));
        let stack = build(&table, &states, &Arc::new(Endpoints::new(&table)), &telemetry);
        assert_eq!(
            format!("{stack:?}"),
            "RouteStage > Log > Rescue > DeadlineStage > BulkheadStage > Admit > Retry > Sample > PerTry > Balance > \
             Exchange"
        );
    }
}
