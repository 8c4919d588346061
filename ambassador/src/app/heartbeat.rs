// SPDX-License-Identifier: Apache-2.0
//! Tells the kernel that this process serves the connections that are redirected to it.
//!
//! The beat comes from the event loops that accept: each worker notes when it last ran, and the oldest note is what
//! the kernel is told. A stopped process, or one stuck worker, lets the beat go stale, and the kernel then passes new
//! connects by. A worker that cannot serve any more ends it at once, and for good.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    kernel::{KernelError, monotonic_ns},
    telemetry::readiness::{Phase, Readiness},
};

/// How often a worker notes that it runs.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// How old the beat may be before the kernel passes connects by: five periods.
pub(super) const STALE_AFTER: Duration = Duration::from_millis(500);

/// Tells the kernel when the proxy was alive, see [`KernelMaps::beat_at`](crate::kernel::KernelMaps::beat_at).
pub(super) type TellKernel = Box<dyn Fn(u64) -> Result<(), KernelError> + Send + Sync>;

/// The notes of all workers.
pub(super) struct Heartbeat {
    noted: Vec<AtomicU64>,
    kernel: TellKernel,
    readiness: Arc<Readiness>,
}

impl Heartbeat {
    /// Notes for so many workers, all of which count as running now.
    pub(super) fn new(workers: usize, kernel: TellKernel, readiness: Arc<Readiness>) -> Self {
        let now = monotonic_ns();
        Self { noted: (0..workers).map(|_| AtomicU64::new(now)).collect(), kernel, readiness }
    }

    /// Beats for as long as `worker`'s event loop runs.
    pub(super) async fn beat(self: Arc<Self>, worker: usize) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.note(worker, monotonic_ns());
        }
    }

    /// `worker`, which beats no more, cannot serve: from now on every new connect passes by.
    pub(super) fn end(&self, worker: usize) {
        self.readiness.set(Phase::Detached);
        self.note(worker, NEVER);
    }

    fn note(&self, worker: usize, ns: u64) {
        self.noted[worker].store(ns, Ordering::Relaxed);
        let oldest = self.noted.iter().map(|noted| noted.load(Ordering::Relaxed)).min();
        if let Some(oldest) = oldest
            && let Err(error) = (self.kernel)(oldest)
        {
            tracing::warn!(%error, "cannot tell the kernel that the proxy is alive: connections will go direct");
        }
    }
}

/// The time at which nobody was alive.
const NEVER: u64 = 0;
