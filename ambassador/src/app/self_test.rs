// SPDX-License-Identifier: Apache-2.0
//! The self-test: connects of CMD's cgroup that only this process can answer.
//!
//! It is made before CMD starts, so that CMD never runs half-intercepted, and again for as long as CMD runs. Each test
//! goes the whole way: `connect4/6`, `so_main`, the listener's filter, the events, the raw socket, `so_passive`, a
//! worker, and `getpeername4/6` back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::{
    config::settings::Intercept,
    net::probe::{Probe, ProbeError, SENTINEL_V4, SENTINEL_V6},
    netns::{Namespace, NamespaceError},
    proxy::sentinel::Sentinel,
    telemetry::{
        Telemetry,
        event::SelfTested,
        labels::TestResult,
        readiness::{Phase, Readiness},
    },
};

/// The probes of one run.
pub(super) struct SelfTest {
    probes: Vec<Probe>,
    sentinel: Arc<Sentinel>,
}

/// The self-test was not passed.
#[derive(Debug, Error)]
#[error("the self-test failed: connections are not intercepted as they should be")]
pub struct SelfTestError(#[from] ProbeError);

/// The probes of a namespace, one for each family that it has and that is not excluded. The caller must be in CMD's
/// cgroup.
pub(super) fn probes_in(namespace: &Namespace, intercept: &Intercept) -> Result<Vec<Probe>, NamespaceError> {
    let sentinels = [SENTINEL_V4, SENTINEL_V6].into_iter().filter(|sentinel| !excludes(intercept, *sentinel));
    let sentinels: Vec<SocketAddr> = sentinels.collect();
    namespace.run(move || {
        let open = |sentinel: SocketAddr| {
            let log =
                |error: &_| tracing::debug!(%sentinel, %error, "not tested: its family has no loopback");
            Probe::open(sentinel).inspect_err(log).ok()
        };
        sentinels.into_iter().filter_map(open).collect()
    })
}

fn excludes(intercept: &Intercept, sentinel: SocketAddr) -> bool {
    intercept.exclude_ports.contains(&sentinel.port())
        || intercept.exclude_cidrs.iter().any(|net| net.contains(&sentinel.ip()))
}

impl SelfTest {
    /// Tests with these probes.
    pub(super) fn new(probes: Vec<Probe>) -> Self {
        let sentinel = Arc::new(Sentinel::of(&probes));
        Self { probes, sentinel }
    }

    /// By which the proxy knows the probes.
    pub(super) fn sentinel(&self) -> Arc<Sentinel> {
        Arc::clone(&self.sentinel)
    }

    /// The probes, to be asked one by one.
    pub(super) fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// Asks a probe until it is answered. On a busy machine the heartbeat may be late, so that a connect passes by:
    /// what fails at once is tried again.
    pub(super) async fn ask(&self, probe: &Probe) -> Result<Duration, ProbeError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match probe.ask(self.sentinel.token(), left).await {
                Err(ProbeError::NotRedirected { .. } | ProbeError::Failed { .. })
                    if Instant::now() + PAUSE < deadline =>
                {
                    sleep(PAUSE).await;
                }
                asked => return asked,
            }
        }
    }

    /// Asks every probe.
    async fn pass(&self) -> Result<(), SelfTestError> {
        let started = Instant::now();
        for probe in &self.probes {
            self.ask(probe).await?;
        }
        tracing::debug!(took = ?started.elapsed(), probes = self.probes.len(), "self-test passed");
        Ok(())
    }

    /// Asks every probe, and counts what came of it.
    pub(super) async fn test(&self, telemetry: &Telemetry) -> Result<(), SelfTestError> {
        let outcome = self.pass().await;
        telemetry.emit(&SelfTested { result: result_of(&outcome) }.into());
        outcome
    }

    /// Tests every `period`, for ever. A failure is said once, and makes the process not ready until one passes.
    pub(super) async fn keep(&self, period: Duration, telemetry: &Telemetry, readiness: &Readiness) {
        let mut ticks = interval_at(Instant::now() + period, period);
        // One that was stopped, or waited long for an answer, has nothing to make up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let outcome = self.test(telemetry).await;
            let result = result_of(&outcome);
            match outcome {
                Ok(()) if failing => {
                    tracing::warn!("the self-test passes again: connections are intercepted");
                    readiness.set(Phase::Ready);
                }
                Err(error) if result == TestResult::Inconclusive => {
                    tracing::debug!("{:#}", anyhow::Error::from(error));
                    continue;
                }
                Err(error) if !failing => {
                    tracing::error!("{:#}; `ambassador doctor` may tell why", anyhow::Error::from(error));
                    readiness.set(Phase::Detached);
                }
                _ => continue,
            }
            failing = !failing;
        }
    }
}

fn result_of(outcome: &Result<(), SelfTestError>) -> TestResult {
    match outcome {
        Ok(()) => TestResult::Passed,
        Err(SelfTestError(error)) if error.is_conclusive() => TestResult::Failed,
        Err(_) => TestResult::Inconclusive,
    }
}

/// How long an answer may take: a SYN that is lost is sent again after 1 s and 3 s.
const LIMIT: Duration = Duration::from_millis(3500);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
