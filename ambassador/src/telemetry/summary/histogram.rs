// SPDX-License-Identifier: Apache-2.0
//! A histogram of durations for quantiles at the end of a run: atomic, at most 1 % off.
//!
//! Sixty-four buckets per power of two of nanoseconds (as `HdrHistogram` has them) up to 19 h; longer durations count
//! as 19 h. A power of two takes room (512 bytes) once it was met: the durations of one destination mostly share a
//! few. Recording is one relaxed addition.

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations in logarithmic buckets.
#[derive(Debug)]
pub(crate) struct Histogram {
    octaves: [OnceLock<Box<Octave>>; OCTAVES],
}

/// The buckets of durations that share their highest bit; in the first octave one per nanosecond.
type Octave = [AtomicU64; SUB];

impl Default for Histogram {
    fn default() -> Self {
        Self { octaves: array::from_fn(|_| OnceLock::new()) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (octave, bucket) = place(nanos);
        let buckets = self.octaves[octave].get_or_init(|| Box::new(array::from_fn(|_| AtomicU64::new(0))));
        buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// The durations that `percents` (1 to 100) of all records do not exceed, by nearest rank; `None` without records.
    pub(crate) fn percentiles<const N: usize>(&self, percents: [u64; N]) -> Option<[Duration; N]> {
        let counts: Vec<(u64, u64)> = self.counts().collect();
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        (total > 0).then(|| {
            percents.map(|percent| {
                let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
                let mut seen = 0;
                let found = counts.iter().find(|(_, count)| {
                    seen += u128::from(*count);
                    seen >= rank
                });
                Duration::from_nanos(found.map_or(0, |(nanos, _)| *nanos))
            })
        })
    }

    /// What was counted, shortest first, as the middle of each bucket and how often.
    fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let met =
            self.octaves.iter().enumerate().filter_map(|(octave, buckets)| Some((octave, buckets.get()?)));
        met.flat_map(|(octave, buckets)| {
            let counts = buckets.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
            counts.map(move |(bucket, count)| (middle(octave, bucket), count))
        })
    }
}

/// Octave and bucket of a duration.
fn place(nanos: u64) -> (usize, usize) {
    let nanos = nanos.min((1 << TOP_BIT) - 1);
    let octave = nanos.checked_ilog2().unwrap_or(0).saturating_sub(SUB_BITS - 1);
    let bucket = (nanos >> octave.saturating_sub(1)) & (SUB as u64 - 1);
    (octave as usize, usize::try_from(bucket).unwrap_or(0))
}

/// The middle of a bucket in nanoseconds.
fn middle(octave: usize, bucket: usize) -> u64 {
    let bucket = bucket as u64;
    match octave {
        0 => bucket,
        _ => ((SUB as u64 + bucket) << (octave - 1)) + ((1 << (octave - 1)) - 1) / 2,
    }
}

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
const TOP_BIT: u32 = 46;
const OCTAVES: usize = (TOP_BIT - SUB_BITS + 1) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_within_one_percent() {
        for shift in 0..TOP_BIT {
            for nanos in [1 << shift, (1 << shift) + 1, (3 << shift) / 2, (2 << shift) - 1] {
                if nanos >= 1 << TOP_BIT {
                    continue;
                }
                let shown = shown_alone(nanos);
                assert!(shown.abs_diff(nanos) * 100 <= nanos, "{nanos} ns is shown as {shown}");
            }
        }
        assert!(shown_alone(u64::MAX).abs_diff(1 << TOP_BIT) <= (1 << TOP_BIT) / 100);
    }

    fn shown_alone(nanos: u64) -> u64 {
        let histogram = Histogram::default();
        histogram.record(Duration::from_nanos(nanos));
        let [shown] = histogram.percentiles([50]).unwrap();
        u64::try_from(shown.as_nanos()).unwrap()
    }

    #[test]
    fn quantiles_agree_with_exact_ones() {
        let mut rng = fastrand::Rng::with_seed(7);
        for count in [1_usize, 2, 10, 99, 100, 5_000] {
            let histogram = Histogram::default();
            let mut exact: Vec<u64> = (0..count).map(|_| rng.u64(..) >> rng.u32(20..64)).collect();
            for nanos in &exact {
                histogram.record(Duration::from_nanos(*nanos));
            }
            exact.sort_unstable();
            let shown = histogram.percentiles([50, 99]).unwrap();
            for (percent, shown) in [50, 99].into_iter().zip(shown) {
                let want = exact[(count * percent).div_ceil(100).max(1) - 1];
                let error = shown.as_nanos().abs_diff(u128::from(want));
                assert!(error * 100 <= u128::from(want), "p{percent} of {count}: {shown:?}, exact {want} ns");
            }
        }
    }

    #[test]
    fn without_records_there_is_no_quantile() {
        assert_eq!(Histogram::default().percentiles([50]), None);
    }
}
