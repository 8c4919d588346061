// SPDX-License-Identifier: Apache-2.0
//! Notes that a time limit of mode shadow would have ended something.
//!
//! It stands where the acting stage has a timer, and has none itself: when what it watches is over, it looks at the
//! clock. It must never end anything.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{message::plan::Plan, policy::mode::Mode, telemetry::labels::ShadowDecision};

/// Dropped when what it watches is over, or given up.
pub(super) struct Overrun {
    plan: Arc<Plan>,
    began: Instant,
    limit: Duration,
    decision: ShadowDecision,
}

impl Overrun {
    /// Watches what began at `began`; `None` where policies are not in mode shadow, or there is no limit.
    pub(super) fn watch(
        plan: &Arc<Plan>,
        began: Instant,
        limit: Option<Duration>,
        decision: ShadowDecision,
    ) -> Option<Self> {
        let limit = limit.filter(|_| plan.route().mode == Mode::Shadow)?;
        Some(Self { plan: Arc::clone(plan), began, limit, decision })
    }
}

impl Drop for Overrun {
    fn drop(&mut self) {
        if self.began.elapsed() >= self.limit {
            self.plan.trail.shadow.add(self.decision);
        }
    }
}
