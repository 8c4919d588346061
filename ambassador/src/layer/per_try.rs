// SPDX-License-Identifier: Apache-2.0
//! Ends an attempt whose reply does not begin in time, so that another one can still be made.
//!
//! Whichever comes first ends it: `timeouts.perTry`, or what is left of `timeouts.request`. Dropping the attempt
//! closes its connection; it never returns to the pool.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::overrun::Overrun;

use crate::{
    message::{
        Request, Response,
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
    fn serve(&self, mut request: Box<Request>) -> Reply<'_> {
        let Some(plan) = request.plan.as_ref() else { return self.inner.serve(request) };
        if !plan.route().mode.acts() {
            let limit = plan.route().timeouts.per_try;
            let overrun = Overrun::watch(plan, request.resumed, limit, ShadowDecision::TimeoutPerTry);
            let attempt = self.inner.serve(request);
            let Some(overrun) = overrun else { return attempt };
            return Box::pin(async move {
                let reply = attempt.await;
                drop(overrun);
                reply
            });
        }
        let limit = plan.deadline.attempt_limit(request.now, &plan.route().timeouts);
        let whole = plan.route().timeouts.request.unwrap_or_default();
        match limit {
            Limit::None => self.inner.serve(request),
            Limit::Own(limit) => {
                let progress = Progress::watched();
                request.progress = progress.clone();
                let attempt = self.inner.serve(request);
                Box::pin(async move {
                    let ended = timeout(limit, attempt).await;
                    ended.unwrap_or_else(|_| Err(ProxyError::PerTryTimeout { limit, sent: progress.sent() }))
                })
            }
            Limit::Request(left) => match request.resumed.checked_add(left) {
                Some(until) => {
                    let attempt = self.inner.serve(request);
                    Box::pin(Last { attempt, until, whole, has_waited: left.is_zero() })
                }
                None => self.inner.serve(request),
            },
        }
    }

    fn inside(&self) -> Option<&Stage> {
        Some(&self.inner)
    }
}

/// An attempt that lasts to the end of its request's time at most. The stage that bounds the whole request has the
/// timer, and wakes this one at that time; that the attempt has failed must be told from within.
struct Last<'s> {
    attempt: Reply<'s>,
    until: Instant,
    whole: Duration,
    /// It has been polled before, or has no time. Until then nothing was waited for, and the clock need not be asked.
    has_waited: bool,
}

impl Future for Last<'_> {
    type Output = Result<Box<Response>, ProxyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.attempt.as_mut().poll(cx) {
            Poll::Pending if self.has_waited && Instant::now() >= self.until => {
                Poll::Ready(Err(ProxyError::RequestTimeout(self.whole)))
            }
            Poll::Pending => {
                self.has_waited = true;
                Poll::Pending
            }
            ended => ended,
        }
    }
}
