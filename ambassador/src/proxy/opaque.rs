// SPDX-License-Identifier: Apache-2.0
//! Flows that are relayed as bytes: protocols that ambassador does not read, and TLS that the program made.
//!
//! The policies that need no request apply: the breaker and the limits guard the flow, a failed dial is retried, an
//! idle flow ends. A flow that fails after it was accepted is reset, never closed in order.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{context::Context, flow_line::FlowLine, tls::Hello};
use crate::{
    clock,
    message::{ahead::Places, facts, flow::Flow},
    net::{
        copy::{Watch as _, relay_watched, reset_on_close},
        detect::{Detected, Spare},
        dial::DialError,
    },
    policy::{
        bulkhead::Permit,
        classify::AttemptOutcome,
        deadline::Deadline,
        pushback::Pushback,
        retry::{Attempt, GiveUp, RequestFacts, RetryDecision, Shared, decide},
    },
    telemetry::{
        event::{ConnectFinished, FlowFinished, Rejected, Retried, RetryGivenUp},
        labels::{Enforcement, ErrorType, GivenUpReason, RejectReason, RetryOutcome, ShadowDecision},
        shadow::Shadowed,
    },
    upstream::{admission::Asker, places, state::RouteState},
};

/// A flow to be relayed as bytes.
pub struct OpaqueFlow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Its route and what that shares.
    pub state: &'a RouteState,
    /// What all connections share.
    pub context: &'a Context,
    /// When it was accepted.
    pub arrived: Instant,
    /// What its `ClientHello` says, if it is TLS.
    pub hello: Hello,
    /// Where `Detected::spare` leads.
    pub dialled: SocketAddr,
    /// No route matches it, and that is denied.
    pub denied: bool,
}

/// Carries a flow to its end and says what became of it.
pub async fn serve(client: TcpStream, detected: Detected, opaque: OpaqueFlow<'_>) {
    let OpaqueFlow { flow, state, context, arrived, hello, dialled, denied } = opaque;
    let finished = FlowFinished {
        route: Arc::clone(&state.route.name),
        destination: state.destination(flow.original_dst),
        protocol: detected.protocol.into(),
        sni: hello.sni.map(Cow::Owned),
        alpn: hello.alpn.into_iter().next().map(Cow::Owned),
        error: None,
        duration: Duration::ZERO,
        attempts: 0,
        rescued: false,
        given_up: None,
        shadow: Shadowed::default(),
        bytes_sent: 0,
        bytes_received: 0,
        caller: (&flow.app).into(),
    };
    let _active = context.telemetry.connection(finished.protocol);
    let mut line = FlowLine::new(finished, arrived, Arc::clone(&flow.program), context.telemetry.clone());
    let Detected { mut spare, from_client, upstream_reset, .. } = detected;
    let places = if denied { None } else { enter(flow, state, &mut spare).await };
    let refused = if denied {
        Some((RejectReason::Denied, ErrorType::Denied))
    } else {
        places.is_none().then_some((RejectReason::Overflow, ErrorType::Overflow))
    };
    let mut dialling = Dialling {
        flow,
        state,
        context,
        attempts: 0,
        endpoint: dialled,
        given_up: None,
        shadow: Shadowed::default(),
        places: None,
    };
    let connected = match refused {
        Some((reason, error)) if state.route.mode.acts() => Err(dialling.reject(reason, error)),
        refused => {
            if let Some((reason, _)) = refused.filter(|_| state.route.mode.decides()) {
                dialling.shadow.add(if denied { ShadowDecision::Denied } else { ShadowDecision::Overflow });
                state.would_reject(reason);
            }
            Box::pin(dialling.connect(spare, dialled)).await
        }
    };
    line.finished.attempts = dialling.attempts;
    line.finished.given_up = dialling.given_up;
    line.finished.shadow = dialling.shadow;
    line.finished.destination.endpoint = dialling.endpoint;
    match connected {
        Ok((upstream, endpoint)) if upstream_reset => {
            line.finished.destination.endpoint = endpoint;
            drop(upstream);
            reset_on_close(&client);
            drop(client);
            line.end(Some(ErrorType::Reset));
        }
        Ok((upstream, endpoint)) => {
            line.finished.destination.endpoint = endpoint;
            line.finished.rescued = line.finished.attempts > 1;
            let idle = state.route.idle_limit();
            let first = from_client.freeze();
            line.client_sent(&first);
            let relayed =
                relay_watched(client, upstream, first, Bytes::new(), idle, &flow.program, &mut line).await;
            line.relayed(relayed);
        }
        Err(error) => {
            reset_on_close(&client);
            drop(client);
            line.end(Some(error));
        }
    }
}

/// Places among `maxConnections` for a flow, for as long as it lives: those that its `spare` has, or others as soon as
/// there are some. `None` if there are none in time.
async fn enter(flow: &Flow, state: &RouteState, spare: &mut Spare) -> Option<Vec<Permit>> {
    let limits = &state.bulkheads;
    if !state.route.mode.acts() || !places::are_limited(limits) {
        return places::try_enter(limits);
    }
    let mut ahead = flow.ahead.take();
    if let (Places::None, Spare::Dialling(_)) = (&ahead, &spare) {
        // It may be waiting for places.
        if let Some(dialled) = std::mem::replace(spare, Spare::NotDialled).finish().await {
            *spare = Spare::Dialled(dialled);
        }
        ahead = flow.ahead.take();
    }
    match ahead {
        Places::Given(places, _) if places::fit(&places, limits) => return Some(places),
        Places::Refused => return None,
        Places::Given(..) | Places::None => {}
    }
    if let Some(places) = places::try_enter(limits) {
        return Some(places);
    }
    // What was dialled ahead must not be open while its flow waits for a place.
    *spare = Spare::NotDialled;
    places::enter(limits).await.ok()
}

/// The dials of one flow.
struct Dialling<'a> {
    flow: &'a Flow,
    state: &'a RouteState,
    context: &'a Context,
    attempts: u32,
    endpoint: SocketAddr,
    given_up: Option<GivenUpReason>,
    shadow: Shadowed,
    /// Among `connectionPool.maxRetries`, once it has needed one.
    places: Option<Vec<Permit>>,
}

impl Dialling<'_> {
    /// Dials until it succeeds or policy gives up. `spare` is the dial to `dialled` that was begun for detection.
    async fn connect(
        &mut self,
        spare: Spare,
        dialled: SocketAddr,
    ) -> Result<(TcpStream, SocketAddr), ErrorType> {
        let (state, policy) = (self.state, &self.state.route.retry);
        let deadline = Deadline::NONE;
        let mut spare =
            Some(spare).filter(|_| self.context.endpoints.may_go_to(state, self.flow.original_dst, dialled));
        let mut avoid = None;
        state.budget.deposit(clock::now());
        loop {
            let endpoint = match spare {
                Some(_) => dialled,
                None => self.context.endpoints.pick(state, self.flow.original_dst, avoid),
            };
            let Ok(permits) = state.admit(clock::now(), endpoint, Asker { flow: self.flow, head: None })
            else {
                return Err(self.reject(RejectReason::CircuitOpen, ErrorType::CircuitOpen));
            };
            if permits.were_refused() {
                self.shadow.add(ShadowDecision::CircuitOpen);
                state.would_reject(RejectReason::CircuitOpen);
            }
            self.attempts += 1;
            self.endpoint = endpoint;
            let started = Instant::now();
            let limit = match deadline.connect_limit(clock::now(), &state.route.timeouts).duration() {
                Some(limit) if state.route.mode.acts() => limit,
                _ => state.route.connect_limit(),
            };
            let begun = match spare.take() {
                Some(spare) => spare.finish().await,
                None => None,
            };
            let result = match begun {
                Some(result) => result,
                None => self.flow.dial(endpoint, limit).await,
            };
            let error = match self.account(result, permits, endpoint, started) {
                Ok(stream) => {
                    if self.attempts > 1 {
                        self.say_retried(RetryOutcome::Success);
                    }
                    return Ok((stream, endpoint));
                }
                Err(error) => error,
            };
            let attempt = Attempt {
                number: self.attempts,
                outcome: dial_outcome(&error),
                pushback: Pushback::None,
                stale_retried: false,
            };
            let request = RequestFacts { next: state.route.next_attempt(), ..RequestFacts::DIAL };
            let shared = Shared { budget: state.budget(), breakers: &state.breakers };
            let rng = &mut fastrand::Rng::new();
            match decide(policy, &request, &attempt, shared, clock::now(), deadline, rng) {
                RetryDecision::Retry { after, .. } if state.route.mode.acts() => {
                    self.places = self.places.take().or_else(|| state.retry_places());
                    if self.places.is_none() {
                        self.give_up(GiveUp::TooManyRetries);
                        return Err((&error).into());
                    }
                    avoid = Some(endpoint);
                    sleep(after).await;
                }
                RetryDecision::Retry { .. } => {
                    if state.route.mode.decides() {
                        self.shadow.add(ShadowDecision::Retry);
                        self.say_retried(RetryOutcome::Shadow);
                    }
                    return Err((&error).into());
                }
                RetryDecision::GiveUp(reason) => {
                    self.give_up(reason);
                    return Err((&error).into());
                }
            }
        }
    }

    /// Says why there is no further dial that the route asks for.
    fn give_up(&mut self, reason: GiveUp) {
        if let Some(outcome) = facts::retry_outcome_of(reason) {
            self.say_retried(outcome);
        }
        self.given_up = facts::given_up_reason_of(reason).filter(|_| self.state.route.mode.decides());
        if let Some(reason) = self.given_up {
            let route = Arc::clone(&self.state.route.name);
            self.context.telemetry.emit(&RetryGivenUp { route, reason }.into());
        }
    }

    fn account(
        &self,
        result: Result<TcpStream, DialError>,
        permits: crate::upstream::admission::Permits,
        endpoint: SocketAddr,
        started: Instant,
    ) -> Result<TcpStream, DialError> {
        let duration = started.elapsed();
        let outcome = result.as_ref().map_or_else(dial_outcome, |_| AttemptOutcome::Connected);
        let telemetry = &self.context.telemetry;
        self.state.sample(
            permits,
            outcome,
            (clock::now(), duration),
            endpoint,
            Asker { flow: self.flow, head: None },
        );
        let error = result.as_ref().err().map(Into::into);
        telemetry
            .emit(&ConnectFinished { destination: self.state.destination(endpoint), duration, error }.into());
        result
    }

    fn reject(&self, reason: RejectReason, error: ErrorType) -> ErrorType {
        self.context.telemetry.emit(
            &Rejected {
                route: Arc::clone(&self.state.route.name),
                reason,
                enforcement: Enforcement::Enforce,
            }
            .into(),
        );
        error
    }

    fn say_retried(&self, outcome: RetryOutcome) {
        self.context.telemetry.emit(&Retried { route: Arc::clone(&self.state.route.name), outcome }.into());
    }
}

fn dial_outcome(error: &DialError) -> AttemptOutcome {
    facts::dial_outcome(error.failure)
}
