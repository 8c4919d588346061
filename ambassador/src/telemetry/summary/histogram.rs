// SPDX-License-Identifier: Apache-2.0
//! A fixed histogram of durations for quantiles at the end of a run: 4 KiB, atomic, at most 3.2 % off.
//!
//! Sixteen buckets per power of two of microseconds (as `HdrHistogram` does), from 1 µs to 19 h; longer durations count
//! as 19 h. Recording is one relaxed addition.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations in logarithmic buckets.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)) }
    }

    pub(crate) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// The durations that `percents` (1 to 100) of all records do not exceed, by nearest rank; `None` without records.
    pub(crate) fn percentiles<const N: usize>(&self, percents: [u64; N]) -> Option<[Duration; N]> {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        (total > 0).then(|| {
            percents.map(|percent| {
                let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
                let mut seen = 0;
                let index = counts.iter().position(|count| {
                    seen += u128::from(*count);
                    seen >= rank
                });
                Duration::from_micros(middle(index.unwrap_or(BUCKETS - 1)))
            })
        })
    }
}

/// Below 16 µs a bucket per microsecond, then `SUB` per power of two.
fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << TOP_BIT) - 1);
    if micros < SUB {
        return usize::try_from(micros).unwrap_or(0);
    }
    let octave = u64::from(micros.ilog2()) - SUB_BITS;
    usize::try_from(octave * SUB + (micros >> octave)).unwrap_or(BUCKETS - 1)
}

/// The middle of a bucket in microseconds.
fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB {
        return index;
    }
    let octave = index / SUB - 1;
    let low = (SUB + index % SUB) << octave;
    low + ((1 << octave) - 1) / 2
}

const SUB_BITS: u64 = 4;
const SUB: u64 = 1 << SUB_BITS;
const TOP_BIT: u64 = 36;
#[allow(clippy::cast_possible_truncation, reason = "528")]
const BUCKETS: usize = ((TOP_BIT - SUB_BITS + 1) * SUB) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_within_four_percent_of_its_bucket() {
        for shift in 0..TOP_BIT {
            for micros in [1 << shift, (1 << shift) + 1, (3 << shift) / 2, (2 << shift) - 1] {
                if micros >= 1 << TOP_BIT {
                    continue;
                }
                let error = middle(bucket(micros)).abs_diff(micros);
                assert!(error * 100 <= micros * 4, "{micros} µs is shown as {}", middle(bucket(micros)));
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_agree_with_exact_ones() {
        let mut rng = fastrand::Rng::with_seed(7);
        for count in [1_usize, 2, 10, 99, 100, 5_000] {
            let histogram = Histogram::new();
            let mut exact: Vec<u64> = (0..count).map(|_| rng.u64(..) >> rng.u32(36..64)).collect();
            for micros in &exact {
                histogram.record(Duration::from_micros(*micros));
            }
            exact.sort_unstable();
            let shown = histogram.percentiles([50, 99]).unwrap();
            for (percent, shown) in [50, 99].into_iter().zip(shown) {
                let want = exact[(count * percent).div_ceil(100).max(1) - 1];
                let error = shown.as_micros().abs_diff(u128::from(want));
                assert!(
                    error * 100 <= u128::from(want) * 4,
                    "p{percent} of {count}: {shown:?}, exact {want} µs"
                );
            }
        }
    }

    #[test]
    fn without_records_there_is_no_quantile() {
        assert_eq!(Histogram::new().percentiles([50]), None);
    }
}
