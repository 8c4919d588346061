// SPDX-License-Identifier: Apache-2.0
//! Tries a failed request again where that is safe and wanted; `policy::retry::decide` holds every rule.
//!
//! A reply that is not going to be used is dropped before the wait, and so is its connection. The body is replayed
//! up to `maxReplayBytes`; beyond that it streams on, the request has one attempt, and that is said.

use std::{
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::time::sleep;

use super::sample::response_outcome;
use crate::{
    clock,
    message::{
        Request, Response, Reuse,
        body::Body,
        error::ProxyError,
        facts::{given_up_reason_of, outcome_of, retry_outcome_of},
        interim::InterimSink,
        plan::Plan,
        replay::ReplayBody,
        stage::{Outcome, Serve, name_of},
    },
    policy::{
        breaker::CallOutcome,
        bulkhead::Permit,
        classify::AttemptOutcome,
        pushback::Pushback,
        retry::{
            self, Attempt, GiveUp, NextAttempt, RequestFacts, RetryDecision, RetryPolicy, RetryReason, Shared,
        },
        retry_after::retry_after,
    },
    telemetry::{
        event::{self, Retried},
        labels::{GivenUpReason, RetryOutcome, ShadowDecision},
    },
    upstream::pool,
};

/// Retries requests.
pub struct Retry<S> {
    inner: S,
}

impl<S: Serve> Retry<S> {
    /// Retries what `inner` fails.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for Retry<S> {
    async fn serve(&self, request: Box<Request>) -> Outcome {
        let Some(plan) = request.plan.clone() else { return Box::pin(self.inner.serve(request)).await };
        Retries { inner: &self.inner, interim: request.interim.clone(), plan }.run(request).await
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}

/// A request and its attempts.
struct Retries<'s, S> {
    inner: &'s S,
    interim: InterimSink,
    plan: Arc<Plan>,
}

/// How an attempt ended, and what is known of it.
struct Ended {
    result: Result<Box<Response>, ProxyError>,
    outcome: AttemptOutcome,
}

impl<S: Serve> Retries<'_, S> {
    async fn run(self, mut request: Box<Request>) -> Outcome {
        let body = std::mem::take(&mut request.body);
        let mut replay = ReplayBody::new(body, self.plan.route().retry.max_replay_bytes);
        request.body = replay.attempt().unwrap_or_default();
        let mut result = self.inner.serve(request).await;
        let (mut number, mut stale_retried, mut retried) = (1, false, false);
        let mut retry_permit = None;
        loop {
            if self.interim.has_passed_end() && matches!(result, Err(ProxyError::Disconnected { .. })) {
                // The origin has followed the end of the program's side. Most programs are gone then.
                return result;
            }
            let outcome = result.as_ref().map_or_else(outcome_of, |response| response_outcome(response));
            let ended = Ended { result, outcome };
            if let Some(outcome) = ended.retry_outcome().filter(|_| retried) {
                self.say(outcome);
                if outcome == RetryOutcome::CircuitOpen {
                    self.plan.give_up(GivenUpReason::CircuitOpen);
                }
            }
            if !retry::is_due(self.policy(), outcome, stale_retried) {
                return ended.holding(retry_permit);
            }
            let attempt = Attempt { number, outcome, pushback: ended.pushback(), stale_retried };
            let (after, reason) = match self.decide(&mut replay, &attempt) {
                RetryDecision::Retry { after, reason } => (after, reason),
                RetryDecision::GiveUp(reason) => {
                    self.give_up(reason);
                    return ended.holding(retry_permit);
                }
            };
            if !self.plan.route().mode.acts() && reason != RetryReason::StaleConnection {
                // Mode shadow. (A stale connection is retried in every mode: it is ambassador's own doing, not a
                // policy.)
                self.plan.trail.retry_because(ended.reason());
                self.plan.trail.shadow.add(ShadowDecision::Retry);
                self.say(RetryOutcome::Shadow);
                return ended.result;
            }
            let stale = reason == RetryReason::StaleConnection;
            if stale {
                stale_retried = true;
            } else {
                // One place for all further attempts of this request, their waits included.
                if retry_permit.is_none() {
                    retry_permit = self.plan.state.retry_places();
                    if retry_permit.is_none() {
                        self.give_up(GiveUp::TooManyRetries);
                        return ended.result;
                    }
                }
                number += 1;
                retried = true;
            }
            self.plan.trail.retry_because(ended.reason());
            // The next attempt needs the body, which a reply that is dropped gives back.
            let failed = self.plan.trail.endpoint().unwrap_or(self.plan.flow.original_dst);
            // Boxed, because nearly no request comes here, and each would keep room for it.
            let body = Box::pin(ended.discard(&mut replay)).await?;
            self.interim.forget_end();
            sleep(after).await;
            let mut next = Request::again(&self.plan, body, self.interim.clone());
            next.endpoint = Some(failed);
            next.reuse = if stale { Reuse::Forbidden } else { Reuse::Allowed };
            result = Box::pin(self.inner.serve(next)).await;
        }
    }

    fn decide(&self, replay: &mut ReplayBody, attempt: &Attempt) -> RetryDecision {
        let head = &self.plan.head;
        let facts = RequestFacts {
            method: head.method(),
            idempotency_key: head.header("idempotency-key").is_some(),
            replayable: replay.is_replayable(),
            next: if self.plan.host_mismatch {
                NextAttempt::SameAddress
            } else {
                self.plan.route().next_attempt()
            },
            // What a first attempt has said of its user may be refused when it is said again.
            bound: pool::bound_to(self.plan.flow.id).is_some()
                || head.is_bound() && !attempt.outcome.is_provably_unsent(),
        };
        let shared = Shared { budget: self.plan.state.budget(), breakers: &self.plan.state.breakers };
        let deadline = self.plan.deadline;
        retry::decide(
            self.policy(),
            &facts,
            attempt,
            shared,
            clock::now(),
            deadline,
            &mut fastrand::Rng::new(),
        )
    }

    fn policy(&self) -> &RetryPolicy {
        static NONE: LazyLock<RetryPolicy> = LazyLock::new(RetryPolicy::default);
        if self.plan.route().mode.decides() { &self.plan.route().retry } else { &NONE }
    }

    fn give_up(&self, reason: GiveUp) {
        if !self.plan.route().mode.decides() {
            return;
        }
        if let Some(outcome) = retry_outcome_of(reason) {
            self.say(outcome);
        }
        if let Some(reason) = given_up_reason_of(reason) {
            self.plan.give_up(reason);
        }
    }

    fn say(&self, outcome: RetryOutcome) {
        let route = Arc::clone(&self.plan.state.route.name);
        self.plan.state.telemetry.emit(&Retried { route, outcome }.into());
    }
}

impl Ended {
    /// What the reply asks of the next attempt (RFC 9110 §10.2.3, gRFC A6).
    fn pushback(&self) -> Pushback {
        let Ok(response) = &self.result else { return Pushback::None };
        if let (AttemptOutcome::Grpc(_), Some(value)) =
            (self.outcome, response.header("grpc-retry-pushback-ms"))
        {
            return Pushback::grpc(value);
        }
        let asked = response.header("retry-after").and_then(|value| retry_after(value, SystemTime::now()));
        asked.map_or(Pushback::None, Pushback::AtLeast)
    }

    fn reason(&self) -> event::RetryReason {
        match (&self.result, self.outcome) {
            (Err(error), _) => event::RetryReason::Error(error.into()),
            (Ok(_), AttemptOutcome::Grpc(status)) => event::RetryReason::Grpc(status),
            (Ok(response), _) => event::RetryReason::Status(response.status().unwrap_or_default()),
        }
    }

    /// What came, with the places of its retries, which are taken until the reply's body has ended.
    fn holding(self, permits: Option<Vec<Permit>>) -> Result<Box<Response>, ProxyError> {
        let mut response = self.result?;
        if let Some(permits) = permits {
            response.body.on_end(Box::new(move |_| drop(permits)));
        }
        Ok(response)
    }

    /// What came of it as a retry; `None` if the program went away.
    fn retry_outcome(&self) -> Option<RetryOutcome> {
        match (&self.result, self.outcome.call_outcome()) {
            (Err(ProxyError::CircuitOpen { .. }), _) => Some(RetryOutcome::CircuitOpen),
            (Err(ProxyError::ClientGone(_)), _) => None,
            (Ok(_), Some(CallOutcome::Success)) => Some(RetryOutcome::Success),
            _ => Some(RetryOutcome::Failure),
        }
    }

    /// Lets go of the reply and takes the request's body for the next attempt. What is there of the reply's body
    /// already is read, so that a short one leaves its connection usable.
    async fn discard(self, replay: &mut ReplayBody) -> Result<Body, ProxyError> {
        let lost = match self.result {
            Ok(mut response) => {
                while let Some(Some(Ok(_))) = response.body.frame().now_or_never() {}
                ProxyError::MalformedRequest("its body ended before it could be sent again")
            }
            Err(error) => error,
        };
        replay.next_attempt().await.ok_or(lost)
    }
}
