// SPDX-License-Identifier: Apache-2.0
//! What a breaker counts: calls, and how many of them failed or were slow.
//!
//! The three counts share one atomic word, so that a rate is never computed from counts of different moments.

use std::sync::atomic::{AtomicU64, Ordering};

/// One call, as the window counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The call failed.
    pub failed: bool,
    /// The call took longer than `slowCallDurationThreshold`.
    pub slow: bool,
}

impl Sample {
    /// The byte of a slot: one bit per count of a [`Tally`].
    pub(super) const fn slot(self) -> u8 {
        1 | (self.failed as u8) << 1 | (self.slow as u8) << 2
    }
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All calls.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
}

impl Tally {
    /// Percent of calls that failed; 0 without calls.
    pub fn failure_rate(self) -> f64 {
        percent(self.failed, self.calls)
    }

    /// Percent of calls that were slow; 0 without calls.
    pub fn slow_call_rate(self) -> f64 {
        percent(self.slow, self.calls)
    }
}

/// A [`Tally`] in one word, so that it changes and is read as a whole.
///
/// Each count has 21 bits and starts at the middle of its range: while workers race round a small ring, a count may
/// pass below zero for an instant, and must not borrow from its neighbour.
#[derive(Debug)]
pub(super) struct PackedTally(AtomicU64);

impl Default for PackedTally {
    fn default() -> Self {
        Self(AtomicU64::new(BIAS | BIAS << BITS | BIAS << (2 * BITS)))
    }
}

impl PackedTally {
    /// The most calls that it can hold.
    pub(super) const MAX: u32 = 1_000_000;
    /// The slot of no call.
    pub(super) const NONE: u8 = 0;

    /// Adds one call and returns the sum with it.
    pub(super) fn add(&self, sample: Sample) -> Tally {
        self.replace(Self::NONE, sample.slot())
    }

    /// What has been added.
    pub(super) fn tally(&self) -> Tally {
        unpack(self.0.load(Ordering::Acquire))
    }

    /// Takes the call of slot `old` out, puts that of slot `new` in, and returns the sum after both.
    pub(super) fn replace(&self, old: u8, new: u8) -> Tally {
        let change = spread(new).wrapping_sub(spread(old));
        unpack(self.0.fetch_add(change, Ordering::AcqRel).wrapping_add(change))
    }
}

const fn spread(slot: u8) -> u64 {
    let slot = slot as u64;
    (slot & 1) | (slot >> 1 & 1) << BITS | (slot >> 2 & 1) << (2 * BITS)
}

fn unpack(word: u64) -> Tally {
    let count = |shift: u32| {
        let field = (word >> shift) & ((1 << BITS) - 1);
        u32::try_from(field.saturating_sub(BIAS)).unwrap_or(0)
    };
    Tally { calls: count(0), failed: count(BITS), slow: count(2 * BITS) }
}

fn percent(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) * 100.0 / f64::from(whole) }
}

const BITS: u32 = 21;
const BIAS: u64 = 1 << (BITS - 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_below_zero_does_not_borrow_from_its_neighbour() {
        let (failed, fine) =
            (Sample { failed: true, slow: false }.slot(), Sample { failed: false, slow: true }.slot());
        let packed = PackedTally::default();
        packed.add(Sample { failed: false, slow: false });
        // A worker takes a failure out before the one that put it in has counted it.
        assert_eq!(packed.replace(failed, fine), Tally { calls: 1, failed: 0, slow: 1 });
        assert_eq!(packed.replace(PackedTally::NONE, failed), Tally { calls: 2, failed: 0, slow: 1 });
    }
}
