// SPDX-License-Identifier: Apache-2.0
//! What a breaker counts in each of its states, and when that is a reason to leave the state.

use super::{BreakerPolicy, Cause, SlidingWindow, State};
use crate::policy::clock::Now;
use crate::policy::tally::{PackedTally, Sample, Tally};
use crate::policy::window::Window;
use std::sync::atomic::{AtomicU32, Ordering};

/// A state, and what is counted in it.
#[derive(Debug)]
pub(super) enum Phase {
    Closed(Counts),
    Open { until: Now },
    HalfOpen(Probes),
    ForcedOpen,
    Disabled,
    MetricsOnly(Counts),
}

impl Phase {
    /// The state.
    pub(super) const fn state(&self) -> State {
        match self {
            Self::Closed(_) => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::ForcedOpen => State::ForcedOpen,
            Self::Disabled => State::Disabled,
            Self::MetricsOnly(_) => State::MetricsOnly,
        }
    }
}

/// What CLOSED counts, but for [`Consecutive`](super::calm::Consecutive) failures.
#[derive(Debug)]
pub(super) struct Counts {
    window: Option<Window>,
}

impl Counts {
    /// None counted yet.
    pub(super) fn new(policy: &BreakerPolicy) -> Self {
        Self { window: policy.window.map(Window::new) }
    }

    /// Counts a call; the reason to open, if a rate is one now.
    pub(super) fn over_rate(&self, policy: &BreakerPolicy, now: Now, sample: Sample) -> Option<Cause> {
        let tally = self.window.as_ref()?.record(now, sample);
        if tally.calls >= minimum_calls(policy) { over_threshold(policy, tally) } else { None }
    }

    /// The calls of the window.
    pub(super) fn tally(&self, now: Now) -> Tally {
        self.window.as_ref().map_or_else(Tally::default, |window| window.tally(now))
    }
}

/// What `HALF_OPEN` counts.
#[derive(Debug)]
pub(super) struct Probes {
    /// When the first one was admitted.
    pub(super) begun: Now,
    taken: AtomicU32,
    finished: PackedTally,
}

impl Probes {
    /// The first one is under way.
    pub(super) fn with_one_taken(begun: Now) -> Self {
        Self { begun, taken: AtomicU32::new(1), finished: PackedTally::default() }
    }

    /// Takes a place. One that has finished keeps its place: the probes of a period are numbered, not concurrent.
    pub(super) fn take(&self, places: u32) -> bool {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < places).then(|| taken + 1))
            .is_ok()
    }

    /// Gives a place back, of a probe that came to nothing.
    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// The probes that have finished.
    pub(super) fn tally(&self) -> Tally {
        self.finished.tally()
    }

    /// Counts a probe; the reason to leave `HALF_OPEN`, if there is one now.
    ///
    /// With a window all probes finish before their rates are judged, as in resilience4j; in the short form the first
    /// failure decides.
    pub(super) fn record(&self, policy: &BreakerPolicy, permitted: u32, sample: Sample) -> Option<Cause> {
        let tally = self.finished.add(sample);
        if policy.window.is_none() && sample.failed {
            return Some(Cause::ProbeFailed);
        }
        if tally.calls < permitted {
            return None;
        }
        if tally.failed >= tally.calls {
            return Some(Cause::ProbeFailed);
        }
        let judged = policy.window.and_then(|_| over_threshold(policy, tally));
        Some(judged.unwrap_or(Cause::ProbesSucceeded))
    }
}

fn minimum_calls(policy: &BreakerPolicy) -> u32 {
    match policy.window {
        Some(SlidingWindow::Count(size)) => policy.minimum_number_of_calls.min(size).max(1),
        _ => policy.minimum_number_of_calls.max(1),
    }
}

fn over_threshold(policy: &BreakerPolicy, tally: Tally) -> Option<Cause> {
    if tally.failure_rate() >= policy.failure_rate_threshold {
        return Some(Cause::FailureRate(tally.failure_rate()));
    }
    let slow = tally.slow_call_rate();
    (slow >= policy.slow_call_rate_threshold).then_some(Cause::SlowCallRate(slow))
}
