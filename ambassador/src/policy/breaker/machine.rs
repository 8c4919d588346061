// SPDX-License-Identifier: Apache-2.0
//! The breaker's state machine, shared by all workers without a lock.
//!
//! Each period in a state is an [`Epoch`] of its own with its own counts, and a change of state swaps the whole epoch.
//! A permit remembers the epoch that admitted it; so a call that ends late can never count in a later one, and of many
//! workers that see the threshold crossed exactly one makes the transition.

use super::calm::{Calm, Consecutive};
use super::phase::{Counts, Phase, Probes};
use super::{Admission, BreakerPolicy, CallOutcome, Cause, Forced, Snapshot, State, Transition};
use crate::policy::clock::Now;
use crate::policy::tally::{PackedTally, Sample, Tally};
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use std::time::Duration;

/// One circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    epoch: ArcSwap<Epoch>,
    calm: Calm,
    consecutive: Consecutive,
}

impl Breaker {
    /// A breaker in CLOSED with empty counts.
    pub fn new(policy: BreakerPolicy) -> Self {
        let phase = Phase::Closed(Counts::new(&policy));
        let epoch = ArcSwap::from_pointee(Epoch { generation: 0, phase });
        Self { policy, epoch, calm: Calm::default(), consecutive: Consecutive::default() }
    }

    /// Its parameters; a reload keeps the breaker while they are equal.
    pub const fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// Asks for one call. The first to ask after OPEN's wait moves the breaker to `HALF_OPEN`.
    pub fn admit(self: &Arc<Self>, now: Now) -> Admission {
        if let Some(generation) = self.calm.generation() {
            return Admission::Admitted(Permit { probe_of: None, generation, transition: None });
        }
        loop {
            let epoch = self.epoch.load();
            let probe_of = match &epoch.phase {
                Phase::Closed(_) | Phase::Disabled | Phase::MetricsOnly(_) => None,
                Phase::ForcedOpen => {
                    return Admission::Refused { retry_after: self.policy.wait_duration_in_open_state };
                }
                Phase::Open { until } if now < *until => {
                    return Admission::Refused { retry_after: until.remaining(now) };
                }
                Phase::Open { .. } => {
                    let half_open = Phase::HalfOpen(Probes::with_one_taken(now));
                    match self.advance(&epoch, half_open, Cause::WaitElapsed) {
                        Some(transition) => {
                            return Admission::Admitted(Permit {
                                probe_of: Some(Arc::clone(self)),
                                generation: epoch.generation + 1,
                                transition: Some(transition),
                            });
                        }
                        None => continue,
                    }
                }
                Phase::HalfOpen(probes) if probes.take(self.places(probes, now)) => Some(Arc::clone(self)),
                Phase::HalfOpen(_) => return Admission::Refused { retry_after: Duration::ZERO },
            };
            let generation = epoch.generation;
            return Admission::Admitted(Permit { probe_of, generation, transition: None });
        }
    }

    /// Whether a call at `at` is sure to be refused. Takes no permit: a retry asks before it waits.
    pub fn refuses(&self, at: Now) -> bool {
        match self.epoch.load().phase {
            Phase::Open { until } => at < until,
            Phase::ForcedOpen => true,
            _ => false,
        }
    }

    /// Where it stands; OPEN until a call asks after the wait.
    pub fn state(&self) -> State {
        if self.calm.generation().is_some() { State::Closed } else { self.epoch.load().phase.state() }
    }

    /// Where it stands and what it has counted.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let epoch = self.epoch.load();
        let (tally, consecutive_failures) = match &epoch.phase {
            Phase::Closed(counts) | Phase::MetricsOnly(counts) => {
                (counts.tally(now), self.consecutive.failures(epoch.generation))
            }
            Phase::HalfOpen(probes) => (probes.tally(), 0),
            Phase::Open { .. } | Phase::ForcedOpen | Phase::Disabled => (Tally::default(), 0),
        };
        let until_half_open = match epoch.phase {
            Phase::Open { until } => Some(until.remaining(now)),
            _ => None,
        };
        Snapshot { state: epoch.phase.state(), tally, consecutive_failures, until_half_open }
    }

    /// Sets a state by hand. Calls under way no longer count.
    pub fn force(&self, forced: Forced) -> Transition {
        loop {
            let phase = match forced {
                Forced::Closed => Phase::Closed(Counts::new(&self.policy)),
                Forced::ForcedOpen => Phase::ForcedOpen,
                Forced::Disabled => Phase::Disabled,
                Forced::MetricsOnly => Phase::MetricsOnly(Counts::new(&self.policy)),
            };
            if let Some(transition) = self.advance(&self.epoch.load(), phase, Cause::Forced) {
                return transition;
            }
        }
    }

    fn sample(&self, generation: u64, now: Now, sample: Sample) -> Option<Transition> {
        if !sample.failed && self.policy.window.is_none() && self.calm.generation() == Some(generation) {
            self.consecutive.succeed(generation);
            return None;
        }
        let epoch = self.epoch.load();
        if epoch.generation != generation {
            return None;
        }
        let cause = match &epoch.phase {
            Phase::Closed(counts) => self.record(generation, counts, now, sample)?,
            Phase::HalfOpen(probes) => probes.record(&self.policy, self.permitted(), sample)?,
            Phase::MetricsOnly(counts) => {
                self.record(generation, counts, now, sample);
                return None;
            }
            Phase::Open { .. } | Phase::ForcedOpen | Phase::Disabled => return None,
        };
        let phase = if cause == Cause::ProbesSucceeded {
            Phase::Closed(Counts::new(&self.policy))
        } else {
            Phase::Open { until: now.after(self.policy.wait_duration_in_open_state) }
        };
        self.advance(&epoch, phase, cause)
    }

    /// Counts a call of CLOSED; the reason to open, if there is one now.
    fn record(&self, generation: u64, counts: &Counts, now: Now, sample: Sample) -> Option<Cause> {
        let failures = if sample.failed {
            self.consecutive.fail(generation)
        } else {
            self.consecutive.succeed(generation);
            0
        };
        let over_rate = counts.over_rate(&self.policy, now, sample);
        match self.policy.consecutive_failures {
            Some(limit) if failures >= limit.max(1) => Some(Cause::ConsecutiveFailures(failures)),
            _ => over_rate,
        }
    }

    /// Replaces `epoch`, unless someone else already has.
    fn advance(&self, epoch: &Guard<Arc<Epoch>>, phase: Phase, cause: Cause) -> Option<Transition> {
        let transition = Transition { from: epoch.phase.state(), to: phase.state(), cause };
        let generation = epoch.generation + 1;
        // Before anybody can see the next epoch, whoever admits looks at epochs again.
        self.calm.end(epoch.generation);
        let before = self.epoch.compare_and_swap(epoch, Arc::new(Epoch { generation, phase }));
        let replaced = Arc::ptr_eq(&before, epoch);
        if replaced && transition.to == State::Closed {
            self.calm.begin(generation);
        }
        replaced.then_some(transition)
    }

    /// How many probes `HALF_OPEN` admits by `now`: those that are permitted, and one more for each further wait. So one
    /// that never ends does not keep the breaker from finding out, and one that takes long still counts.
    fn places(&self, probes: &Probes, now: Now) -> u32 {
        let wait = self.policy.wait_duration_in_open_state.max(SHORTEST_WAIT);
        let waits = now.since(probes.begun).as_nanos() / wait.as_nanos();
        self.permitted().saturating_add(u32::try_from(waits).unwrap_or(u32::MAX))
    }

    fn permitted(&self) -> u32 {
        self.policy.permitted_number_of_calls_in_half_open_state.clamp(1, PackedTally::MAX)
    }
}

/// Leave to make one call. Dropped without a sample, it counts as nothing and a probe's place is given back.
#[derive(Debug)]
#[must_use = "a permit that is dropped counts as a call that never was"]
pub struct Permit {
    /// Only a probe needs its breaker: what every call held of it would be counted by all workers.
    probe_of: Option<Arc<Breaker>>,
    generation: u64,
    transition: Option<Transition>,
}

impl Permit {
    /// Tells `breaker`, which gave it, what the call came to after `elapsed`; the change of state that this caused, if
    /// any.
    pub fn sample(
        mut self,
        breaker: &Breaker,
        now: Now,
        outcome: CallOutcome,
        elapsed: Duration,
    ) -> Option<Transition> {
        self.probe_of = None;
        let sample = Sample {
            failed: outcome == CallOutcome::Failure,
            slow: elapsed > breaker.policy.slow_call_duration_threshold,
        };
        breaker.sample(self.generation, now, sample)
    }

    /// The change of state that admitting this call caused: OPEN → `HALF_OPEN`, or nothing.
    pub const fn transition(&self) -> Option<Transition> {
        self.transition
    }

    /// Whether this call is a probe of `HALF_OPEN`.
    pub const fn is_probe(&self) -> bool {
        self.probe_of.is_some()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(breaker) = &self.probe_of else { return };
        let epoch = breaker.epoch.load();
        if let (true, Phase::HalfOpen(probes)) = (epoch.generation == self.generation, &epoch.phase) {
            probes.give_back();
        }
    }
}

#[derive(Debug)]
struct Epoch {
    generation: u64,
    phase: Phase,
}

/// After which a further probe is admitted at the earliest.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
