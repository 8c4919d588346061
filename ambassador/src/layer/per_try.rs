// SPDX-License-Identifier: Apache-2.0
//! Ends an attempt whose reply does not begin in time, so that another one can still be made.
//!
//! Whichever comes first ends it: `timeouts.perTry`, or what is left of `timeouts.request`. Dropping the attempt
//! closes its connection; it never returns to the pool.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{Instant, timeout};

use super::overrun::Overrun;

use crate::{
    message::{
        Request,
        error::ProxyError,
        progress::Progress,
        stage::{Outcome, Serve, name_of},
    },
    policy::deadline::Limit,
    telemetry::labels::ShadowDecision,
};

/// Bounds the time to the head of an attempt's reply.
pub struct PerTry<S> {
    inner: S,
}

impl<S: Serve> PerTry<S> {
    /// Bounds the attempts of `inner`.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }

    async fn within(&self, limit: Duration, mut request: Box<Request>) -> Outcome {
        let progress = Progress::watched();
        request.progress = progress.clone();
        let ended = timeout(limit, self.inner.serve(request)).await;
        ended.unwrap_or_else(|_| Err(ProxyError::PerTryTimeout { limit, sent: progress.sent() }))
    }
}

impl<S: Serve> Serve for PerTry<S> {
    async fn serve(&self, request: Box<Request>) -> Outcome {
        let Some(plan) = &request.plan else { return Box::pin(self.inner.serve(request)).await };
        let timeouts = &plan.route().timeouts;
        let acts = plan.route().mode.acts();
        let watched = timeouts.per_try.filter(|_| !acts);
        let _overrun = Overrun::watch(plan, request.resumed, watched, ShadowDecision::TimeoutPerTry);
        let limit = if acts { plan.deadline.attempt_limit(request.now, timeouts) } else { Limit::None };
        let whole = timeouts.request.unwrap_or_default();
        let left = match limit {
            // Boxed, because the timer takes room, and few routes have such a limit.
            Limit::Own(limit) => return Box::pin(self.within(limit, request)).await,
            Limit::Request(left) => Some(left),
            Limit::None => None,
        };
        // The stage that bounds the whole request has the timer, and wakes this one at that time; that the attempt has
        // failed must be told from within.
        let until = left.and_then(|left| request.resumed.checked_add(left));
        // Until something was waited for, the clock need not be asked.
        let mut has_waited = left == Some(Duration::ZERO);
        let mut attempt = pin!(self.inner.serve(request));
        poll_fn(|cx| match attempt.as_mut().poll(cx) {
            Poll::Pending if has_waited && until.is_some_and(|until| Instant::now() >= until) => {
                Poll::Ready(Err(ProxyError::RequestTimeout(whole)))
            }
            Poll::Pending => {
                has_waited = true;
                Poll::Pending
            }
            ended @ Poll::Ready(_) => ended,
        })
        .await
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}
