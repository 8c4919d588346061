// SPDX-License-Identifier: Apache-2.0
//! Ends a request whose whole time (`timeouts.request`) is over: attempts, waits between them, and the reply's body.
//!
//! The head is bounded here and by every attempt; a body that is still coming when the time is over is cut, which the
//! program sees as what it is. Upgraded connections are exempt.

use tokio::time::timeout;

use crate::clock;
use crate::message::{
    Request,
    error::ProxyError,
    stage::{Reply, Serve, Stage},
};

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
        let reply = self.inner.serve(request);
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
