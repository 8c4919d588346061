// SPDX-License-Identifier: Apache-2.0
//! Ends a request whose whole time (`timeouts.request`) is over: attempts, waits between them, and the reply's body.
//!
//! The head is bounded here and by every attempt; a body that is still coming when the time is over is cut, which the
//! program sees as what it is. Upgraded connections are exempt.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::overrun::Overrun;
use crate::message::{
    Request, Response, Timer,
    error::ProxyError,
    stage::{Outcome, Serve, name_of},
};
use crate::telemetry::labels::ShadowDecision;

/// Bounds whole requests.
pub struct DeadlineStage<S> {
    inner: S,
}

impl<S: Serve> DeadlineStage<S> {
    /// Bounds what `inner` does.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for DeadlineStage<S> {
    async fn serve(&self, mut request: Box<Request>) -> Outcome {
        let overrun = request.plan.as_ref().and_then(|plan| {
            let watched = plan.route().timeouts.request.filter(|_| !request.head.is_endless());
            Overrun::watch(plan, request.arrived, watched, ShadowDecision::TimeoutRequest)
        });
        let mut bound = if overrun.is_none() { Bound::of(&mut request) } else { None };
        let mut reply = pin!(self.inner.serve(request));
        let mut response = poll_fn(|cx| {
            if let Poll::Ready(outcome) = reply.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            let Some(bound) = &mut bound else { return Poll::Pending };
            bound.poll_overdue(cx).map(|()| Err(ProxyError::RequestTimeout(bound.limit)))
        })
        .await?;
        if let Some(bound) = &mut bound {
            bound.apply_to(&mut response);
        }
        if let Some(overrun) = overrun.filter(|_| response.upgrade.is_none()) {
            response.body.on_end(Box::new(move |_| drop(overrun)));
        }
        Ok(response)
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}

/// The end of a request's time: its reply's head must come before, and its body, too.
struct Bound {
    /// Made when there is something to wait for. It may be set to the end of an earlier request of the same flow, and
    /// then is set anew when it rings: most requests are over long before.
    timer: Option<Timer>,
    until: Instant,
    limit: Duration,
}

impl Bound {
    /// That of `request`, if its time is limited.
    fn of(request: &mut Request) -> Option<Self> {
        let plan = request.plan.as_ref()?;
        let left = plan.deadline.remaining(request.now)?;
        let limit = plan.route().timeouts.request.unwrap_or(left);
        let until = request.resumed.checked_add(left)?;
        Some(Self { timer: request.timer.take(), until, limit })
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }

    fn apply_to(&mut self, response: &mut Response) {
        if response.upgrade.is_none() {
            response.body.cut_at(self.until);
        }
        response.timer = self.timer.take();
    }
}
