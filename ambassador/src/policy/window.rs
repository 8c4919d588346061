// SPDX-License-Identifier: Apache-2.0
//! The sliding windows that a breaker's rates are computed over.
//!
//! Every call of every worker ends here, so recording is a few atomic operations and no lock. A window is never
//! emptied: each new period of a breaker gets a new one, so no sample can leak from one period into the next.

use super::breaker::SlidingWindow;
use super::clock::Now;
use super::tally::{PackedTally, Sample, Tally};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A sliding window of either type.
#[derive(Debug)]
pub enum Window {
    /// resilience4j's `COUNT_BASED`.
    Count(CountWindow),
    /// resilience4j's `TIME_BASED`.
    Time(TimeWindow),
}

impl Window {
    /// An empty window.
    pub fn new(shape: SlidingWindow) -> Self {
        match shape {
            SlidingWindow::Count(size) => Self::Count(CountWindow::new(size)),
            SlidingWindow::Time(duration) => Self::Time(TimeWindow::new(duration)),
        }
    }

    /// Adds a call that ended `now`, and returns what the window then holds.
    pub fn record(&self, now: Now, sample: Sample) -> Tally {
        match self {
            Self::Count(window) => window.record(sample),
            Self::Time(window) => window.record(now, sample),
        }
    }

    /// What the window holds.
    pub fn tally(&self, now: Now) -> Tally {
        match self {
            Self::Count(window) => window.sum.tally(),
            Self::Time(window) => window.tally(now),
        }
    }
}

/// The last so many calls: a ring of one byte per call, and their sum.
#[derive(Debug)]
pub struct CountWindow {
    next: AtomicU64,
    slots: Box<[AtomicU8]>,
    sum: PackedTally,
}

impl CountWindow {
    /// An empty window of `size` calls, at least 1 and at most a million.
    pub fn new(size: u32) -> Self {
        let slots = (0..size.clamp(1, PackedTally::MAX)).map(|_| AtomicU8::new(PackedTally::NONE)).collect();
        Self { next: AtomicU64::new(0), slots, sum: PackedTally::default() }
    }

    fn record(&self, sample: Sample) -> Tally {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len() as u64;
        let slot = &self.slots[usize::try_from(turn).unwrap_or(0)];
        let new = sample.slot();
        let old = slot.swap(new, Ordering::AcqRel);
        self.sum.replace(old, new)
    }
}

/// The calls of the last so long, in [`BUCKETS`] buckets: the oldest tenth leaves at once.
///
/// resilience4j keeps one bucket per second. A sample that arrives while another worker empties its bucket is lost:
/// at most one per worker and tenth.
#[derive(Debug)]
pub struct TimeWindow {
    width: u64,
    buckets: Box<[Bucket; BUCKETS]>,
}

/// Buckets of a time window.
pub const BUCKETS: usize = 10;

impl TimeWindow {
    /// An empty window of `duration`, at least 10 ns.
    pub fn new(duration: Duration) -> Self {
        let width = u64::try_from(duration.as_nanos() / BUCKETS as u128).unwrap_or(u64::MAX).max(1);
        Self { width, buckets: Box::default() }
    }

    fn record(&self, now: Now, sample: Sample) -> Tally {
        let tag = self.tag(now);
        let bucket = &self.buckets[usize::try_from(tag % BUCKETS as u64).unwrap_or(0)];
        if bucket.turn_to(tag) {
            bucket.calls.fetch_add(1, Ordering::Relaxed);
            bucket.failed.fetch_add(u32::from(sample.failed), Ordering::Relaxed);
            bucket.slow.fetch_add(u32::from(sample.slow), Ordering::Relaxed);
        }
        self.tally(now)
    }

    fn tally(&self, now: Now) -> Tally {
        let newest = self.tag(now);
        let mut sum = Tally::default();
        for bucket in self.buckets.iter() {
            let tag = bucket.tag.load(Ordering::Acquire);
            if tag != Bucket::TURNING && tag + BUCKETS as u64 > newest && tag != Bucket::UNUSED {
                sum.calls = sum.calls.saturating_add(bucket.calls.load(Ordering::Relaxed));
                sum.failed = sum.failed.saturating_add(bucket.failed.load(Ordering::Relaxed));
                sum.slow = sum.slow.saturating_add(bucket.slow.load(Ordering::Relaxed));
            }
        }
        sum
    }

    fn tag(&self, now: Now) -> u64 {
        (now.nanos() / self.width).saturating_add(1).min(Bucket::TURNING - BUCKETS as u64 - 1)
    }
}

#[derive(Debug, Default)]
struct Bucket {
    tag: AtomicU64,
    calls: AtomicU32,
    failed: AtomicU32,
    slow: AtomicU32,
}

impl Bucket {
    const UNUSED: u64 = 0;
    const TURNING: u64 = u64::MAX;

    /// Empties the bucket if it holds an older time than `tag`; whether it then holds `tag`.
    fn turn_to(&self, tag: u64) -> bool {
        let held = self.tag.load(Ordering::Acquire);
        if held >= tag {
            return held == tag;
        }
        let claimed = self.tag.compare_exchange(held, Self::TURNING, Ordering::AcqRel, Ordering::Acquire);
        if let Err(held) = claimed {
            return held == tag;
        }
        self.calls.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        self.slow.store(0, Ordering::Relaxed);
        self.tag.store(tag, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::collections::VecDeque;
    use std::thread;

    fn tally_of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Tally {
        samples.into_iter().fold(Tally::default(), |sum, sample| Tally {
            calls: sum.calls + 1,
            failed: sum.failed + u32::from(sample.failed),
            slow: sum.slow + u32::from(sample.slow),
        })
    }

    proptest! {
        #[test]
        fn a_count_window_holds_exactly_the_last_calls(size in 1u32..20, calls: Vec<(bool, bool)>) {
            let window = Window::new(SlidingWindow::Count(size));
            let mut model = VecDeque::new();
            for (failed, slow) in calls {
                model.push_back(Sample { failed, slow });
                if model.len() > size as usize {
                    model.pop_front();
                }
                let tally = window.record(Now::ORIGIN, Sample { failed, slow });
                prop_assert_eq!(tally, tally_of(&model));
            }
        }

        #[test]
        fn a_time_window_holds_the_calls_of_its_buckets(steps: Vec<(u8, bool, bool)>) {
            let window = Window::new(SlidingWindow::Time(Duration::from_micros(1)));
            let (mut at, mut model) = (0u64, Vec::new());
            for (step, failed, slow) in steps {
                at += u64::from(step) * 2;
                model.push((at / 100, Sample { failed, slow }));
                let live = model.iter().filter(|(bucket, _)| bucket + 10 > at / 100);
                let tally = window.record(Now::from_nanos(at), Sample { failed, slow });
                prop_assert_eq!(tally, tally_of(live.map(|(_, sample)| sample)));
            }
        }
    }

    #[test]
    fn a_tiny_ring_stays_exact_when_many_race_round_it() {
        let window = CountWindow::new(3);
        thread::scope(|scope| {
            for worker in 0..4 {
                let window = &window;
                scope.spawn(move || {
                    for turn in 0..20_000 {
                        let sample = Sample { failed: (turn + worker) % 2 == 0, slow: turn % 3 == 0 };
                        let tally = window.record(sample);
                        // Off by the calls that race at most, never by a borrow between the counts.
                        assert!(tally.calls.max(tally.failed).max(tally.slow) <= 3 + 4, "{tally:?}");
                    }
                });
            }
        });
        for _ in 0..3 {
            window.record(Sample { failed: true, slow: false });
        }
        assert_eq!(window.sum.tally(), Tally { calls: 3, failed: 3, slow: 0 });
    }

    #[test]
    fn a_late_sample_of_an_older_time_is_not_counted_as_new() {
        let window = TimeWindow::new(Duration::from_secs(10));
        let failed = Sample { failed: true, slow: false };
        window.record(Now::from_elapsed(Duration::from_secs(25)), failed);
        window.record(Now::from_elapsed(Duration::from_secs(5)), failed);
        assert_eq!(window.tally(Now::from_elapsed(Duration::from_secs(25))).calls, 1);
    }
}
