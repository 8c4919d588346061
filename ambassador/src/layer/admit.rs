// SPDX-License-Identifier: Apache-2.0
//! Asks whether the destination is allowed, and its circuit breaker, before anything is sent.
//!
//! It stands outside of retry: while the breaker is open a request is refused at once, without an attempt. The permit
//! goes with the request to the stage that measures its first attempt.

use crate::{
    message::{
        Request,
        error::ProxyError,
        stage::{Outcome, Serve, name_of},
    },
    telemetry::labels::{RejectReason, ShadowDecision},
    upstream::admission::Asker,
};

/// Refuses requests while a breaker is open.
pub struct Admit<S> {
    inner: S,
}

impl<S: Serve> Admit<S> {
    /// Guards `inner`.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for Admit<S> {
    async fn serve(&self, mut request: Box<Request>) -> Outcome {
        if let Some(plan) = request.plan.as_ref().filter(|plan| plan.denied) {
            if plan.route().mode.acts() {
                return Err(ProxyError::Denied);
            }
            plan.trail.shadow.add(ShadowDecision::Denied);
            plan.state.would_reject(RejectReason::Denied);
        }
        if let Some(plan) = request.plan.as_ref().filter(|plan| !plan.state.breakers.is_empty()) {
            match plan.state.admit(
                request.now,
                request.destination(),
                Asker { flow: &request.flow, head: Some(&request.head) },
            ) {
                Ok(permits) => {
                    if permits.were_refused() {
                        plan.trail.shadow.add(ShadowDecision::CircuitOpen);
                        plan.state.would_reject(RejectReason::CircuitOpen);
                    }
                    request.permits = Some(permits);
                }
                Err(refused) => {
                    request.flow.doubt(request.flow.original_dst);
                    return Err(ProxyError::CircuitOpen { retry_after: refused.retry_after });
                }
            }
        }
        self.inner.serve(request).await
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}
