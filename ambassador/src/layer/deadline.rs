// SPDX-License-Identifier: Apache-2.0
//! Ends a request whose whole time (`timeouts.request`) is over: attempts, waits between them, and the reply's body.
//!
//! The head is bounded here and by every attempt; a body that is still coming when the time is over is cut, which the
//! program sees as what it is. Upgraded connections are exempt.

use tokio::time::timeout;

use super::overrun::Overrun;
use crate::clock;
use crate::message::{
    Request, Response,
    error::ProxyError,
    stage::{Reply, Serve, Stage},
};
use crate::telemetry::labels::ShadowDecision;

/// Bounds whole requests.
pub struct DeadlineStage {
    inner: Stage,
}

impl DeadlineStage {
    /// Bounds what `inner` does.
    pub fn layer(inner: Stage) -> Stage {
        Stage::new(Self { inner })
    }
}

impl Serve for DeadlineStage {
    fn serve(&self, request: Request) -> Reply {
        let plan = request.plan.clone();
        let left = plan.as_ref().and_then(|plan| plan.deadline.remaining(clock::now()));
        let overrun = plan.as_ref().and_then(|plan| {
            let limit = plan.route().timeouts.request.filter(|_| !request.head.is_endless());
            Overrun::watch(plan, request.arrived, limit, ShadowDecision::TimeoutRequest)
        });
        let reply = self.inner.serve(request);
        if let Some(overrun) = overrun {
            return Box::pin(watched(reply, overrun));
        }
        let (Some(plan), Some(left)) = (plan, left) else { return reply };
        let limit = plan.route().timeouts.request.unwrap_or(left);
        Box::pin(async move {
            let mut response =
                timeout(left, reply).await.map_err(|_| ProxyError::RequestTimeout(limit))??;
            if response.upgrade.is_none()
                && let Some(left) = plan.deadline.remaining(clock::now())
            {
                response.body = response.body.cut_after(left);
            }
            Ok(response)
        })
    }

    fn inside(&self) -> Option<&Stage> {
        Some(&self.inner)
    }
}

/// Watches the whole of a reply in mode shadow.
async fn watched(reply: Reply, overrun: Overrun) -> Result<Response, ProxyError> {
    let mut response = reply.await?;
    if response.upgrade.is_none() {
        response.body = response.body.on_end(Box::new(move |_| drop(overrun)));
    }
    Ok(response)
}
