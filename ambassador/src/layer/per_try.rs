// SPDX-License-Identifier: Apache-2.0
//! Ends an attempt whose reply does not begin in time, so that another one can still be made.
//!
//! Whichever comes first ends it: `timeouts.perTry`, or what is left of `timeouts.request`. Dropping the attempt
//! closes its connection; it never returns to the pool.

use tokio::time::{Instant, timeout};

use super::overrun::Overrun;

use crate::{
    clock,
    message::{
        Request,
        error::ProxyError,
        progress::Progress,
        stage::{Reply, Serve, Stage},
    },
    policy::deadline::Limit,
    telemetry::labels::ShadowDecision,
};

/// Bounds the time to the head of an attempt's reply.
pub struct PerTry {
    inner: Stage,
}

impl PerTry {
    /// Bounds the attempts of `inner`.
    pub fn layer(inner: Stage) -> Stage {
        Stage::new(Self { inner })
    }
}

impl Serve for PerTry {
    fn serve(&self, mut request: Request) -> Reply {
        let Some(plan) = request.plan.as_ref() else { return self.inner.serve(request) };
        if !plan.route().mode.acts() {
            let limit = plan.route().timeouts.per_try;
            let overrun = Overrun::watch(plan, Instant::now(), limit, ShadowDecision::TimeoutPerTry);
            let attempt = self.inner.serve(request);
            let Some(overrun) = overrun else { return attempt };
            return Box::pin(async move {
                let reply = attempt.await;
                drop(overrun);
                reply
            });
        }
        let limit = plan.deadline.attempt_limit(clock::now(), &plan.route().timeouts);
        let whole = plan.route().timeouts.request.unwrap_or_default();
        let Some(duration) = limit.duration() else { return self.inner.serve(request) };
        let progress = Progress::watched();
        request.progress = progress.clone();
        let attempt = self.inner.serve(request);
        Box::pin(async move {
            match timeout(duration, attempt).await {
                Ok(reply) => reply,
                Err(_) => Err(match limit {
                    Limit::Request(_) => ProxyError::RequestTimeout(whole),
                    Limit::Own(_) | Limit::None => {
                        ProxyError::PerTryTimeout { limit: duration, sent: progress.sent() }
                    }
                }),
            }
        })
    }

    fn inside(&self) -> Option<&Stage> {
        Some(&self.inner)
    }
}
