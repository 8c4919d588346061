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
        stage::{Reply, Serve, Stage},
    },
    policy::bulkhead::Permit,
    telemetry::labels::{RejectReason, ShadowDecision},
    upstream::state::Limits,
};

/// Admits as many requests as `connectionPool` allows.
pub struct BulkheadStage {
    inner: Stage,
}

impl BulkheadStage {
    /// Bounds the requests that go on to `inner`.
    pub fn layer(inner: Stage) -> Stage {
        Stage::new(Self { inner })
    }
}

impl Serve for BulkheadStage {
    fn serve(&self, mut request: Box<Request>) -> Reply<'_> {
        let limited =
            |plan: &Plan| plan.state.bulkheads.iter().any(|limits| limits.requests.limit().is_some());
        let Some(plan) = request.plan.as_ref().filter(|plan| plan.route().mode.decides() && limited(plan))
        else {
            return self.inner.serve(request);
        };
        let plan = Arc::clone(plan);
        Box::pin(async move {
            let mut permits = Vec::new();
            for bulkhead in &plan.state.bulkheads {
                if plan.route().mode.acts() {
                    permits.push(enter(bulkhead).await?);
                } else if let Some(place) = Place::take(bulkhead) {
                    permits.push(place);
                } else {
                    plan.trail.shadow.add(ShadowDecision::Overflow);
                    plan.state.would_reject(RejectReason::Overflow);
                }
            }
            request.resume();
            let mut response = self.inner.serve(request).await?;
            response.body.on_end(Box::new(move |_| drop(permits)));
            Ok(response)
        })
    }

    fn inside(&self) -> Option<&Stage> {
        Some(&self.inner)
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
