// SPDX-License-Identifier: Apache-2.0
//! Bounds the requests to an upstream that are under way, so that a slow one cannot take all of the program's.
//!
//! A place is held until the reply's body has ended. When all are taken the request is refused at once, or waits as
//! long as `connectionPool.maxWait` says if `maxPendingRequests` allows.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};

use crate::{
    message::{
        Request,
        error::ProxyError,
        plan::Plan,
        stage::{Outcome, Serve, name_of},
    },
    policy::bulkhead::Permit,
    telemetry::labels::{RejectReason, ShadowDecision},
    upstream::state::Limits,
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

/// How long a request waits where `maxPendingRequests` lets it but `maxWait` does not say how long.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A place among `maxRequests`; whoever has waited longest is woken when it is given up.
struct Place {
    permit: Option<Permit>,
    freed: Arc<Notify>,
}

impl Place {
    fn take(bulkhead: &Limits) -> Option<Self> {
        let permit = bulkhead.requests.try_enter()?;
        Some(Self { permit: Some(permit), freed: Arc::clone(&bulkhead.freed) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.freed.notify_one();
    }
}

/// A place within each limit of the route of `plan`.
async fn places(plan: &Plan) -> Result<Vec<Place>, ProxyError> {
    let mut places = Vec::new();
    for bulkhead in &plan.state.bulkheads {
        if plan.route().mode.acts() {
            places.push(enter(bulkhead).await?);
        } else if let Some(place) = Place::take(bulkhead) {
            places.push(place);
        } else {
            plan.trail.shadow.add(ShadowDecision::Overflow);
            plan.state.would_reject(RejectReason::Overflow);
        }
    }
    Ok(places)
}

async fn enter(bulkhead: &Limits) -> Result<Place, ProxyError> {
    let full = || ProxyError::Overflow { limit: "maxRequests" };
    if let Some(place) = Place::take(bulkhead) {
        return Ok(place);
    }
    let unbounded = bulkhead.pending.limit().map(|_| MAX_WAIT);
    let limit = bulkhead.max_wait.or(unbounded).ok_or_else(full)?;
    let Some(_pending) = bulkhead.pending.try_enter() else {
        return Err(ProxyError::Overflow { limit: "maxPendingRequests" });
    };
    let wait = async {
        loop {
            let freed = bulkhead.freed.notified();
            // Between the last look and here a place may have come free.
            if let Some(place) = Place::take(bulkhead) {
                return place;
            }
            freed.await;
        }
    };
    timeout(limit, wait).await.map_err(|_| full())
}
