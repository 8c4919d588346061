// SPDX-License-Identifier: Apache-2.0
//! Says what became of each request, once: its line in the access log, its metrics, its row of the summary.
//!
//! It stands right behind the match to a route and outside of everything else, so that what the program saw is what
//! is said. A request ends with the last byte of its reply.

use std::{borrow::Cow, sync::Arc};

use tokio::time::Instant;

use super::sample::grpc_status;
use crate::{
    message::{
        Request, RequestHead, Response, ResponseHead,
        body::BodyEnd,
        error::{ProxyError, Side},
        plan::Plan,
        stage::{Outcome, Serve, name_of},
    },
    policy::classify::AttemptOutcome,
    telemetry::{
        event::{Rejected, RequestFinished},
        labels::{Enforcement, ErrorType, Protocol, RejectReason},
    },
};

/// Says what became of requests.
pub struct Log<S> {
    inner: S,
}

impl<S: Serve> Log<S> {
    /// Speaks of what `inner` serves.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for Log<S> {
    async fn serve(&self, mut request: Box<Request>) -> Outcome {
        if let Some(plan) = &request.plan {
            let head = request.head.wire_length();
            if let Some(bytes) = request.body.length_at_hand() {
                plan.trail.sent(head + bytes);
            } else {
                plan.trail.sent(head);
                let plan = Arc::clone(plan);
                request.body.on_end(Box::new(move |end| plan.trail.sent(end.bytes)));
            }
        }
        let mut guard = Unanswered(request.plan.clone().map(|plan| Entry { plan }));
        let result = self.inner.serve(request).await;
        let Some(entry) = guard.0.take() else { return result };
        match result {
            Ok(mut response) => {
                entry.follow(&mut response);
                Ok(response)
            }
            Err(error) => {
                entry.reject(&error);
                entry.finish(Answer { error: Some((&error).into()), ..Answer::default() }, Instant::now());
                Err(error)
            }
        }
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}

/// Speaks also of a request whose program went away before the reply: its future is dropped.
struct Unanswered(Option<Entry>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.finish(Answer { error: Some(ErrorType::ClientGone), ..Answer::default() }, Instant::now());
        }
    }
}

/// A request of which nothing has been said yet.
struct Entry {
    plan: Arc<Plan>,
}

/// What the program was answered with.
#[derive(Clone, Copy, Default)]
struct Answer {
    status: Option<u16>,
    grpc_status: Option<u16>,
    error: Option<ErrorType>,
    received: u64,
}

impl Entry {
    /// Waits for the end of the reply's body.
    fn follow(self, response: &mut Response) {
        if let Some(cause) = &response.cause {
            self.reject(cause);
        }
        response.idle = self.plan.route().idle_limit();
        let relayed = response.upgrade.is_some() && !response.is_pipelined();
        let unread = matches!(response.head, ResponseHead::Unread(None)) && relayed;
        let unread = unread.then_some(ErrorType::MalformedResponse);
        // What is answered to a program that is gone by now is no success: nobody reads it. Asked before it has the
        // answer, since it may be gone because it has read all of it.
        let left = || self.plan.flow.program.has_left().then_some(ErrorType::ClientGone);
        let head = Answer {
            status: response.status(),
            grpc_status: grpc_status(response),
            error: response.cause.as_ref().map(ErrorType::from).or(unread).or_else(left),
            received: response.head.wire_length(),
        };
        response.body.on_end(Box::new(move |BodyEnd { bytes, sent, status, clean, grpc_status, at }| {
            if sent > 0 {
                self.plan.trail.sent(sent);
            }
            let grpc_status = head.grpc_status.or(grpc_status);
            let (error, received) = (head.error.or(clean.err().map(ErrorType::from)), head.received + bytes);
            self.finish(Answer { status: head.status.or(status), grpc_status, error, received }, at);
        }));
    }

    /// Counts a local rejection.
    fn reject(&self, error: &ProxyError) {
        if error.side() != Side::Local {
            return;
        }
        let reason = match error {
            ProxyError::CircuitOpen { .. } => RejectReason::CircuitOpen,
            ProxyError::Denied => RejectReason::Denied,
            _ => RejectReason::Overflow,
        };
        self.plan.state.telemetry.emit(
            &Rejected {
                route: Arc::clone(&self.plan.state.route.name),
                reason,
                enforcement: Enforcement::Enforce,
            }
            .into(),
        );
    }

    fn finish(&self, answer: Answer, at: Instant) {
        let Plan { head, flow, trail, .. } = &*self.plan;
        let retry_reason = trail.retry_reason();
        self.plan.state.telemetry.emit(
            &RequestFinished {
                route: Cow::Borrowed(&self.plan.state.route.name),
                destination: self.plan.destination(trail.endpoint().unwrap_or(flow.original_dst)),
                protocol: match head {
                    RequestHead::Http1(_) => Protocol::Http1,
                    RequestHead::Http2(_) => Protocol::Http2,
                },
                method: Cow::Borrowed(head.method()),
                host: Cow::Borrowed(head.authority().unwrap_or_default()),
                path: Cow::Borrowed(head.path()),
                status: answer.status,
                grpc_status: answer.grpc_status,
                error: answer.error,
                duration: at.saturating_duration_since(self.plan.arrived),
                attempts: trail.attempts(),
                retry_reason,
                given_up: trail.given_up(),
                rescued: retry_reason.is_some() && trail.attempts() > 1 && self.is_well(&answer),
                shadow: trail.shadow.all(),
                bytes_sent: trail.bytes_sent(),
                bytes_received: answer.received,
                caller: (&flow.app).into(),
            }
            .into(),
        );
    }

    /// No failure, and nothing that the route would have retried once more.
    fn is_well(&self, answer: &Answer) -> bool {
        let Some(status) = answer.status.filter(|_| answer.error.is_none()) else { return false };
        let outcomes = [Some(AttemptOutcome::Status(status)), answer.grpc_status.map(AttemptOutcome::Grpc)];
        let wanted = &self.plan.route().retry;
        outcomes
            .into_iter()
            .flatten()
            .all(|outcome| !outcome.is_failure() && outcome.retry_condition(wanted).is_none())
    }
}

impl RequestHead {
    /// Bytes on the wire; 0 for HTTP/2, whose heads are compressed.
    fn wire_length(&self) -> u64 {
        match self {
            Self::Http1(head) => head.raw().len() as u64,
            Self::Http2(_) => 0,
        }
    }
}

impl ResponseHead {
    fn wire_length(&self) -> u64 {
        match self {
            Self::Http1(head) => head.raw().len() as u64,
            Self::Unread(_) | Self::Http2(_) | Self::Local(_) => 0,
        }
    }
}
