// SPDX-License-Identifier: Apache-2.0
//! Bounds the requests to an upstream that are under way, so that a slow one cannot take all of the program's.
//!
//! A place is held until the reply's body has ended. When all are taken the request is refused at once, or waits as
//! long as `connectionPool.maxWait` says if `maxPendingRequests` allows.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    message::{
        Request,
        error::ProxyError,
        plan::Plan,
        stage::{Outcome, Serve, name_of},
    },
    policy::bulkhead::{Bulkhead, Permit},
    telemetry::labels::{RejectReason, ShadowDecision},
};

/// Admits as many requests as `connectionPool` allows.
pub struct BulkheadStage<S> {
    inner: S,
}

impl<S: Serve> BulkheadStage<S> {
    /// Bounds the requests that go on to `inner`.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for BulkheadStage<S> {
    async fn serve(&self, mut request: Box<Request>) -> Outcome {
        let limited =
            |plan: &&Arc<Plan>| plan.state.bulkheads.iter().any(|limits| limits.requests.limit().is_some());
        let plan = request.plan.as_ref().filter(|plan| plan.route().mode.decides()).filter(limited);
        let places = match plan.map(Arc::clone) {
            // Boxed, because most routes have no such limit, and each request would keep room for the wait.
            Some(plan) => {
                let places = Box::pin(places(&plan)).await?;
                request.resume();
                Some(places)
            }
            None => None,
        };
        let mut response = self.inner.serve(request).await?;
        if let Some(places) = places {
            response.body.on_end(Box::new(move |_| drop(places)));
        }
        Ok(response)
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}

/// A place within each limit of the route of `plan`.
async fn places(plan: &Plan) -> Result<Vec<Permit>, ProxyError> {
    let mut places = Vec::new();
    for bulkhead in &plan.state.bulkheads {
        if plan.route().mode.acts() {
            places.push(enter(bulkhead).await?);
        } else if let Some(place) = bulkhead.requests.try_enter() {
            places.push(place);
        } else {
            plan.trail.shadow.add(ShadowDecision::Overflow);
            plan.state.would_reject(RejectReason::Overflow);
        }
    }
    Ok(places)
}

async fn enter(bulkhead: &Bulkhead) -> Result<Permit, ProxyError> {
    let full = || ProxyError::Overflow { limit: "maxRequests" };
    if let Some(place) = bulkhead.requests.try_enter() {
        return Ok(place);
    }
    let limit = bulkhead.patience().ok_or_else(full)?;
    let Some(_pending) = bulkhead.pending.try_enter() else {
        return Err(ProxyError::Overflow { limit: "maxPendingRequests" });
    };
    timeout(limit, bulkhead.requests.enter()).await.map_err(|_| full())
}
