// SPDX-License-Identifier: Apache-2.0
//! Measures each attempt, for the circuit breaker and the metrics.
//!
//! It stands inside of retry: a failure that a retry hides is still a failure of the upstream. An attempt ends with
//! its reply's body, not with its head.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use tokio::time::Instant;

use crate::{
    clock,
    message::{
        Request, Response,
        body::BodyErrorKind,
        error::ProxyError,
        facts::outcome_of,
        interim::InterimSink,
        plan::Plan,
        stage::{Outcome, Serve, name_of},
    },
    policy::{
        breaker::CallOutcome,
        classify::{AttemptOutcome, Written},
        retry::is_due,
    },
    telemetry::{
        event::{AttemptFinished, ConnectFinished},
        labels::{ErrorType, GivenUpReason},
    },
    upstream::admission::{Asker, Permits},
};

/// Measures attempts.
pub struct Sample<S> {
    inner: S,
}

impl<S: Serve> Sample<S> {
    /// Measures the attempts of `inner`.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for Sample<S> {
    async fn serve(&self, mut request: Box<Request>) -> Outcome {
        let Some(plan) = request.plan.clone() else { return Box::pin(self.inner.serve(request)).await };
        let endpoint = request.destination();
        // The first attempt brings the permit that admitted the request; a further one asks again.
        let permits = match request.permits.take() {
            Some(permits) => permits,
            None => match plan.state.admit(
                request.now,
                endpoint,
                Asker { flow: &plan.flow, head: Some(&request.head) },
            ) {
                Ok(permits) => permits,
                Err(refused) => {
                    return Err(ProxyError::CircuitOpen { retry_after: refused.retry_after });
                }
            },
        };
        plan.trail.attempt();
        let measured = Measured { plan, permits, endpoint, started: request.resumed };
        // A program that has to be told to go on waits for its upstream itself.
        let is_told = request.body.is_at_hand() || request.head.header("expect").is_some();
        let program = if is_told { None } else { Some(request.interim.clone()) };
        match self.inner.serve(request).await {
            Ok(mut response) => {
                measured.follow(&mut response);
                Ok(response)
            }
            Err(error) => {
                let outcome = match outcome_of(&error) {
                    // What its program has not sent in time says nothing of an upstream that waits for it.
                    AttemptOutcome::RequestTimeout | AttemptOutcome::PerTryTimeout { .. }
                        if program.as_ref().is_some_and(InterimSink::is_awaited) =>
                    {
                        AttemptOutcome::ClientGone
                    }
                    outcome => outcome,
                };
                measured.finish(None, outcome, Some((&error).into()), Instant::now());
                Err(error)
            }
        }
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}

/// An attempt under way.
struct Measured {
    plan: Arc<Plan>,
    permits: Permits,
    endpoint: SocketAddr,
    started: Instant,
}

impl Measured {
    /// Waits for the end of the body.
    fn follow(mut self, response: &mut Response) {
        if let Some(info) = response.attempt
            && let Some(duration) = info.connect
        {
            let destination = self.plan.state.destination(info.endpoint);
            self.plan.state.telemetry.emit(&ConnectFinished { destination, duration, error: None }.into());
        }
        let status = response.status();
        let outcome = response_outcome(response);
        if self.permits.is_probe() || self.fails_for_retry(outcome) {
            // A half-open breaker must not wait for the end of a stream that may last for hours; and whether there is
            // to be another attempt depends on what this one makes of the breaker.
            let permits = std::mem::take(&mut self.permits);
            let endpoint = self.plan.trail.endpoint().unwrap_or(self.endpoint);
            let now = Instant::now();
            let when = (clock::at(now), now.saturating_duration_since(self.started));
            self.plan.state.sample(permits, outcome, when, endpoint, self.plan.asker());
        }
        if response.upgrade.is_some() && !response.is_pipelined() {
            // The reply is complete; what follows belongs to another protocol, and may last for days.
            return self.finish(status, outcome, None, Instant::now());
        }
        response.body.on_end(Box::new(move |end| match end.clean {
            Ok(()) | Err(BodyErrorKind::Abandoned) => {
                let (status, outcome) = match end.status {
                    Some(late) if status.is_none() => (Some(late), AttemptOutcome::Status(late)),
                    _ => (status, outcome),
                };
                let outcome = end.grpc_status.map_or(outcome, AttemptOutcome::Grpc);
                if end.grpc_status.is_some() {
                    self.say_if_beyond_retry(outcome);
                }
                self.finish(status, outcome, None, end.at);
            }
            Err(error) => {
                let cut = AttemptOutcome::Reset { reused: false, written: Written::Fully, replied: true };
                if error != BodyErrorKind::Overdue {
                    let before =
                        AttemptOutcome::Reset { reused: false, written: Written::Fully, replied: false };
                    self.say_if_beyond_retry(before);
                }
                self.finish(status.or(end.status), cut, Some(error.into()), end.at);
            }
        }));
    }

    /// The reply is a failure, and one for which the route asks for another attempt.
    fn fails_for_retry(&self, outcome: AttemptOutcome) -> bool {
        let route = self.plan.route();
        outcome.call_outcome() == Some(CallOutcome::Failure)
            && route.mode.decides()
            && is_due(&route.retry, outcome, true)
    }

    /// The reply failed when the program had its head; `outcome` is what the same would have been before.
    fn say_if_beyond_retry(&self, outcome: AttemptOutcome) {
        let route = self.plan.route();
        if route.mode.decides() && is_due(&route.retry, outcome, true) {
            self.plan.give_up(GivenUpReason::ReplyStarted);
        }
    }

    fn finish(self, status: Option<u16>, outcome: AttemptOutcome, error: Option<ErrorType>, at: Instant) {
        let Self { plan, permits, endpoint, started } = self;
        let telemetry = &plan.state.telemetry;
        let endpoint = plan.trail.endpoint().unwrap_or(endpoint);
        let duration = at.saturating_duration_since(started);
        let destination = plan.state.destination(endpoint);
        if let Some(
            error @ (ErrorType::ConnectRefused
            | ErrorType::ConnectTimeout
            | ErrorType::ConnectUnreachable
            | ErrorType::ConnectFailed),
        ) = error
        {
            telemetry.emit(
                &ConnectFinished { destination: destination.clone(), duration, error: Some(error) }.into(),
            );
        }
        plan.state.sample(permits, outcome, (clock::at(at), duration), endpoint, plan.asker());
        if !plan.state.is_closed() {
            // The breaker has to be asked in connect().
            plan.flow.doubt(plan.flow.original_dst);
        }
        let route = Cow::Borrowed(&*plan.state.route.name);
        telemetry.emit(&AttemptFinished { route, destination, status, error, duration }.into());
    }
}

/// What a reply says of its upstream.
pub(super) fn response_outcome(response: &Response) -> AttemptOutcome {
    match (grpc_status(response), response.status()) {
        (Some(status), _) => AttemptOutcome::Grpc(status),
        (None, Some(status)) => AttemptOutcome::Status(status),
        // What cannot be read cannot be judged, only that it came.
        (None, None) => AttemptOutcome::Connected,
    }
}

/// `grpc-status` of a trailers-only reply.
pub(super) fn grpc_status(response: &Response) -> Option<u16> {
    std::str::from_utf8(response.header("grpc-status")?).ok()?.parse().ok()
}
