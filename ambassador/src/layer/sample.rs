// SPDX-License-Identifier: Apache-2.0
//! Measures each attempt, for the circuit breaker and the metrics.
//!
//! It stands inside of retry: a failure that a retry hides is still a failure of the upstream. An attempt ends with
//! its reply's body, not with its head.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;

use crate::{
    message::{
        Request, RequestHead, Response,
        body::BodyErrorKind,
        error::ProxyError,
        facts::outcome_of,
        flow::Flow,
        plan::Plan,
        stage::{Reply, Serve, Stage},
    },
    policy::classify::{AttemptOutcome, Written},
    telemetry::{
        Telemetry,
        event::{AttemptFinished, ConnectFinished},
        labels::ErrorType,
    },
    upstream::admission::Permits,
};

/// Measures attempts.
pub struct Sample {
    inner: Stage,
    telemetry: Telemetry,
}

impl Sample {
    /// Measures the attempts of `inner`.
    pub fn layer(inner: Stage, telemetry: Telemetry) -> Stage {
        Stage::new(Self { inner, telemetry })
    }
}

impl Serve for Sample {
    fn serve(&self, mut request: Request) -> Reply {
        let Some(plan) = request.plan.clone() else { return self.inner.serve(request) };
        let endpoint = request.destination();
        // The first attempt brings the permit that admitted the request; a further one asks again.
        let permits = match request.permits.take() {
            Some(permits) => permits,
            None => match plan.state.admit(endpoint, request.head.authority(), &self.telemetry) {
                Ok(permits) => permits,
                Err(refused) => {
                    let error = ProxyError::CircuitOpen { retry_after: refused.retry_after };
                    return Box::pin(std::future::ready(Err(error)));
                }
            },
        };
        plan.trail.attempt();
        let measured = Measured {
            plan,
            flow: Arc::clone(&request.flow),
            head: request.head.clone(),
            permits,
            endpoint,
            started: Instant::now(),
            telemetry: self.telemetry.clone(),
        };
        let attempt = self.inner.serve(request);
        Box::pin(async move {
            match attempt.await {
                Ok(response) => Ok(measured.follow(response)),
                Err(error) => {
                    measured.finish(None, outcome_of(&error), Some((&error).into()));
                    Err(error)
                }
            }
        })
    }

    fn inside(&self) -> Option<&Stage> {
        Some(&self.inner)
    }
}

/// An attempt under way.
struct Measured {
    plan: Plan,
    flow: Arc<Flow>,
    head: RequestHead,
    permits: Permits,
    endpoint: SocketAddr,
    started: Instant,
    telemetry: Telemetry,
}

impl Measured {
    /// Waits for the end of the body.
    fn follow(mut self, mut response: Response) -> Response {
        if let Some(info) = response.attempt
            && let Some(duration) = info.connect
        {
            let destination = self.plan.state.destination(info.endpoint);
            self.telemetry.emit(&ConnectFinished { destination, duration, error: None }.into());
        }
        let status = response.status();
        let outcome = response_outcome(&response);
        if self.permits.is_probe() {
            // A half-open breaker must not wait for the end of a stream that may last for hours.
            let permits = std::mem::take(&mut self.permits);
            let endpoint = self.plan.trail.endpoint().unwrap_or(self.endpoint);
            let (state, host) = (&self.plan.state, self.head.authority());
            state.sample(permits, outcome, self.started.elapsed(), endpoint, host, &self.telemetry);
        }
        if response.upgrade.is_some() {
            // The reply is complete; what follows belongs to another protocol, and may last for days.
            self.finish(status, outcome, None);
            return response;
        }
        response.body = response.body.on_end(Box::new(move |end| match end.clean {
            Ok(()) | Err(BodyErrorKind::Abandoned) => {
                let outcome = end.grpc_status.map_or(outcome, AttemptOutcome::Grpc);
                self.finish(status, outcome, None);
            }
            Err(error) => {
                let cut = AttemptOutcome::Reset { reused: false, written: Written::Fully, replied: true };
                self.finish(status, cut, Some(error.into()));
            }
        }));
        response
    }

    fn finish(self, status: Option<u16>, outcome: AttemptOutcome, error: Option<ErrorType>) {
        let Self { plan, flow, head, permits, endpoint, started, telemetry } = self;
        let endpoint = plan.trail.endpoint().unwrap_or(endpoint);
        let duration = started.elapsed();
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
        plan.state.sample(permits, outcome, duration, endpoint, head.authority(), &telemetry);
        if !plan.state.is_closed() {
            // The breaker has to be asked in connect().
            flow.doubt(flow.original_dst);
        }
        let route = Arc::clone(&plan.state.route.name);
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
