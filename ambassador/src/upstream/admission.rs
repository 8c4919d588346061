// SPDX-License-Identifier: Apache-2.0
//! Asks every breaker of a route for one call, and tells them what it came to.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use super::state::{BREAKERS_MOST, RouteState};
use crate::{
    message::{RequestHead, flow::Flow},
    policy::{
        breaker::{Admission, Permit, State, Transition},
        bulkhead,
        classify::AttemptOutcome,
        clock::Now,
        mode::Mode,
    },
    telemetry::{
        event::{BreakerTransition, Rejected},
        labels::{Enforcement, RejectReason},
    },
};

/// The permits of one call. Dropped without a sample they count as a call that never was.
#[derive(Debug, Default)]
#[must_use = "dropping the permits gives them back unused"]
pub struct Permits {
    given: [Option<Permit>; BREAKERS_MOST],
    refused: bool,
}

/// Who makes a call, for what is said of it.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The program's connection.
    pub flow: &'a Flow,
    /// Its request, if the call is for one.
    pub head: Option<&'a RequestHead>,
}

/// A breaker refused the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How long until it is worth asking again.
    pub retry_after: Duration,
}

impl Permits {
    /// Whether the call is a probe of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.given.iter().flatten().any(Permit::is_probe)
    }

    /// Whether a breaker would have refused the call, were its route not in mode shadow.
    pub fn were_refused(&self) -> bool {
        self.refused
    }
}

impl RouteState {
    /// Asks for one call to `endpoint` at `now`, on behalf of `asker`. In mode `shadow` a refusal
    /// is `Ok` without permits, and the caller says it; in mode `off` nobody is asked.
    pub fn admit(&self, now: Now, endpoint: SocketAddr, asker: Asker<'_>) -> Result<Permits, Refused> {
        if !self.route.mode.decides() {
            return Ok(Permits::default());
        }
        let mut given = [const { None }; BREAKERS_MOST];
        for (position, (breaker, room)) in self.breakers.iter().zip(&mut given).enumerate() {
            match breaker.admit(now) {
                Admission::Admitted(permit) => {
                    self.announce(permit.transition(), position, endpoint, asker);
                    *room = Some(permit);
                }
                // Permits that were given already go back as this returns.
                Admission::Refused { .. } if self.route.mode == Mode::Shadow => {
                    return Ok(Permits { refused: true, ..Permits::default() });
                }
                Admission::Refused { retry_after } => return Err(Refused { retry_after }),
            }
        }
        Ok(Permits { given, refused: false })
    }

    /// A place for all further attempts of one call, their waits included; `None` if as many are under way as
    /// `connectionPool.maxRetries` allows.
    pub fn retry_places(&self) -> Option<Vec<bulkhead::Permit>> {
        self.bulkheads.iter().map(|limits| limits.retries.try_enter()).collect()
    }

    /// Says that mode `shadow` let something pass.
    pub fn would_reject(&self, reason: RejectReason) {
        let route = Arc::clone(&self.route.name);
        self.telemetry.emit(&Rejected { route, reason, enforcement: Enforcement::Shadow }.into());
    }

    /// Whether every breaker admits calls freely. Takes no permit: for work that is done ahead of a call.
    pub fn is_closed(&self) -> bool {
        !self.route.mode.acts()
            || self.breakers.iter().all(|breaker| {
                matches!(breaker.state(), State::Closed | State::Disabled | State::MetricsOnly)
            })
    }

    /// Tells the breakers what a call came to at `now`, after `elapsed`.
    pub fn sample(
        &self,
        permits: Permits,
        outcome: AttemptOutcome,
        (now, elapsed): (Now, Duration),
        endpoint: SocketAddr,
        asker: Asker<'_>,
    ) {
        let Some(outcome) = outcome.call_outcome() else { return };
        // Permits stand in the order of their breakers.
        let given = permits.given.into_iter().flatten();
        for (position, (permit, breaker)) in given.zip(&self.breakers).enumerate() {
            let transition = permit.sample(breaker, now, outcome, elapsed);
            self.announce(transition, position, endpoint, asker);
        }
    }

    fn announce(
        &self,
        transition: Option<Transition>,
        position: usize,
        endpoint: SocketAddr,
        asker: Asker<'_>,
    ) {
        let Some(Transition { from, to, cause }) = transition else { return };
        let wait = self.breakers[position].policy().wait_duration_in_open_state;
        self.telemetry.emit(
            &BreakerTransition {
                destination: self.destination(endpoint),
                route: self.owner(position),
                enforcement: self.enforcement(position),
                by: Arc::clone(&self.route.name),
                host: asker.head.and_then(RequestHead::authority).map(Cow::Borrowed),
                caller: (&asker.flow.app).into(),
                from: from.into(),
                to: to.into(),
                cause: cause.into(),
                why: cause.to_string(),
                open_for: (to == State::Open).then_some(wait),
            }
            .into(),
        );
    }
}
