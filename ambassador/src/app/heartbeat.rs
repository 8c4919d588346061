// SPDX-License-Identifier: Apache-2.0
//! Tells the kernel that this process serves the connections that are redirected to it.
//!
//! The beat comes from the event loops that accept: each worker notes when it last ran, and the oldest note is what
//! the kernel is told. A stopped process, or one stuck worker, lets the beat go stale, and the kernel then passes new
//! connects by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::kernel::{KernelMaps, monotonic_ns};

/// How often a worker notes that it runs.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// How old the beat may be before the kernel passes connects by: five periods.
pub(super) const STALE_AFTER: Duration = Duration::from_millis(500);

/// The notes of all workers.
pub(super) struct Heartbeat {
    noted: Vec<AtomicU64>,
    maps: Arc<KernelMaps>,
}

impl Heartbeat {
    /// Notes for so many workers, all of which count as running now.
    pub(super) fn new(workers: usize, maps: Arc<KernelMaps>) -> Self {
        let now = monotonic_ns();
        Self { noted: (0..workers).map(|_| AtomicU64::new(now)).collect(), maps }
    }

    /// Beats for as long as `worker`'s event loop runs.
    pub(super) async fn beat(self: Arc<Self>, worker: usize) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.noted[worker].store(monotonic_ns(), Ordering::Relaxed);
            let oldest = self.noted.iter().map(|noted| noted.load(Ordering::Relaxed)).min();
            if let Some(oldest) = oldest
                && let Err(error) = self.maps.beat_at(oldest)
            {
                tracing::warn!(%error, "cannot tell the kernel that the proxy is alive: connections will go direct");
            }
        }
    }
}
