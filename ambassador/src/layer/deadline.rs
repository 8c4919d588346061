// SPDX-License-Identifier: Apache-2.0
//! Ends a request whose whole time (`timeouts.request`) is over: attempts, waits between them, and the reply's body.
//!
//! The head is bounded here and by every attempt; a body that is still coming when the time is over is cut, which the
//! program sees as what it is. Upgraded connections are exempt.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::overrun::Overrun;
use crate::message::{
    Request, Response, Timer,
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
    fn serve(&self, mut request: Box<Request>) -> Reply<'_> {
        let Some(plan) = &request.plan else { return self.inner.serve(request) };
        let watched = plan.route().timeouts.request.filter(|_| !request.head.is_endless());
        if let Some(overrun) = Overrun::watch(plan, request.arrived, watched, ShadowDecision::TimeoutRequest)
        {
            return Box::pin(watch(self.inner.serve(request), overrun));
        }
        let Some(left) = plan.deadline.remaining(request.now) else {
            return self.inner.serve(request);
        };
        let limit = plan.route().timeouts.request.unwrap_or(left);
        let Some(until) = request.resumed.checked_add(left) else { return self.inner.serve(request) };
        let timer = request.timer.take();
        Box::pin(Bounded { reply: self.inner.serve(request), timer, until, limit })
    }

    fn inside(&self) -> Option<&Stage> {
        Some(&self.inner)
    }
}

/// Watches the whole of a reply in mode shadow.
async fn watch(reply: Reply<'_>, overrun: Overrun) -> Result<Box<Response>, ProxyError> {
    let mut response = reply.await?;
    if response.upgrade.is_none() {
        response.body.on_end(Box::new(move |_| drop(overrun)));
    }
    Ok(response)
}

/// A reply whose head must come before `until`, and its body, too.
struct Bounded<'s> {
    reply: Reply<'s>,
    /// Made when there is something to wait for. It may be set to the end of an earlier request of the same flow, and
    /// then is set anew when it rings: most requests are over long before.
    timer: Option<Timer>,
    until: Instant,
    limit: Duration,
}

impl Bounded<'_> {
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

    fn bound(&mut self, mut response: Box<Response>) -> Box<Response> {
        if response.upgrade.is_none() {
            response.body.cut_at(self.until);
        }
        response.timer = self.timer.take();
        response
    }
}

impl Future for Bounded<'_> {
    type Output = Result<Box<Response>, ProxyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = self.reply.as_mut().poll(cx) {
            return Poll::Ready(outcome.map(|response| self.bound(response)));
        }
        self.poll_overdue(cx).map(|()| Err(ProxyError::RequestTimeout(self.limit)))
    }
}
