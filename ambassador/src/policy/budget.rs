// SPDX-License-Identifier: Apache-2.0
//! How many retries an upstream bears: a share of its recent requests, plus a few per second.
//!
//! Attempts per request bound the retries of one request; only a budget bounds what retries add to an upstream that
//! fails for everyone. It must never let more through than was put in, however many workers ask at once.

#[cfg(test)]
mod tests;

use super::clock::Now;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A retry budget (`retry.budget`; Finagle's and Linkerd's `RetryBudget`).
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// Retries allowed per request of the last `ttl` (`retryRatio`); 0.2 is 20 %. Rounded to thousandths.
    pub retry_ratio: f64,
    /// Retries per second allowed on top, so that a quiet upstream can be retried too (`minRetriesPerSecond`).
    pub min_retries_per_second: u32,
    /// How long a request counts (`ttl`).
    pub ttl: Duration,
}

impl Default for BudgetPolicy {
    /// 20 % of the requests of the last 10 s, plus 10 per second.
    fn default() -> Self {
        Self { retry_ratio: 0.2, min_retries_per_second: 10, ttl: Duration::from_secs(10) }
    }
}

/// One budget, shared by every retry to an upstream.
///
/// Time is cut into [`BUCKETS`] tenths of `ttl`. A bucket holds what the requests of its time deposited, and what the
/// retries of its time took from the reserve of `minRetriesPerSecond × ttl`; both expire with it. Within any `ttl` at
/// most `retryRatio × requests + minRetriesPerSecond × ttl` retries pass.
#[derive(Debug)]
pub struct Budget {
    deposit: u32,
    reserve: AtomicU64,
    width: u64,
    buckets: [Bucket; BUCKETS],
}

/// Buckets of a budget.
pub const BUCKETS: usize = 10;

impl Budget {
    /// A budget whose reserve is full.
    pub fn new(policy: &BudgetPolicy) -> Self {
        let ttl = policy.ttl.max(Duration::from_millis(10));
        let reserve = u128::from(policy.min_retries_per_second) * ttl.as_millis();
        Self {
            deposit: thousandths(policy.retry_ratio),
            reserve: AtomicU64::new(u64::try_from(reserve).unwrap_or(u64::MAX).min(u64::from(u32::MAX))),
            width: u64::try_from(ttl.as_nanos() / BUCKETS as u128).unwrap_or(u64::MAX),
            buckets: Default::default(),
        }
    }

    /// Counts a request (not a retry of one).
    pub fn deposit(&self, now: Now) {
        let tag = self.tag(now);
        self.bucket(tag).deposits.add(tag, self.deposit);
    }

    /// Takes one retry, or nothing at all if there is not one whole retry left.
    pub fn withdraw(&self, now: Now) -> bool {
        let tag = self.tag(now);
        self.expire(tag);
        let mut wanted = RETRY;
        for age in (0..BUCKETS_U32).rev() {
            let aged = tag.wrapping_sub(age);
            wanted -= self.bucket(aged).deposits.take(aged, wanted);
        }
        if wanted == 0 || self.take_reserve(tag, wanted) {
            return true;
        }
        self.bucket(tag).deposits.add(tag, RETRY - wanted);
        false
    }

    /// How many whole retries could be taken now.
    pub fn balance(&self, now: Now) -> u64 {
        let tag = self.tag(now);
        self.expire(tag);
        let live = (0..BUCKETS_U32).map(|age| tag.wrapping_sub(age));
        let deposits: u64 = live.map(|aged| u64::from(self.bucket(aged).deposits.held(aged))).sum();
        (deposits + self.reserve.load(Ordering::Acquire)) / u64::from(RETRY)
    }

    fn take_reserve(&self, tag: u32, wanted: u32) -> bool {
        let taken = self.reserve.fetch_update(Ordering::AcqRel, Ordering::Acquire, |reserve| {
            reserve.checked_sub(u64::from(wanted))
        });
        if taken.is_ok() {
            let expired = self.bucket(tag).reserved.add(tag, wanted);
            self.give_back(expired);
        }
        taken.is_ok()
    }

    /// Puts back what retries older than `ttl` had taken from the reserve.
    fn expire(&self, tag: u32) {
        for age in 0..BUCKETS_U32 {
            let aged = tag.wrapping_sub(age);
            self.give_back(self.bucket(aged).reserved.add(aged, 0));
        }
    }

    fn give_back(&self, expired: u32) {
        if expired > 0 {
            self.reserve.fetch_add(u64::from(expired), Ordering::AcqRel);
        }
    }

    /// The number of the bucket's time. Starts late enough that the ages of the first bucket exist.
    fn tag(&self, now: Now) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "tags are compared modulo 2^32")]
        let tag = (now.nanos() / self.width) as u32;
        tag.wrapping_add(BUCKETS_U32)
    }

    fn bucket(&self, tag: u32) -> &Bucket {
        &self.buckets[tag as usize % BUCKETS]
    }
}

#[derive(Debug, Default)]
struct Bucket {
    deposits: TaggedAmount,
    reserved: TaggedAmount,
}

/// An amount and the time that it belongs to, in one word: an amount of another time can never be mistaken for one of
/// this, however workers race.
#[derive(Debug, Default)]
struct TaggedAmount(AtomicU64);

impl TaggedAmount {
    /// Adds `amount` to the time `tag`, and returns the amount of an older time that this displaced.
    ///
    /// A worker whose `tag` is older than the held one adds to the held one.
    fn add(&self, tag: u32, amount: u32) -> u32 {
        let mut displaced = 0;
        let update = |word| {
            let (held_tag, held) = unpack(word);
            let older = held_tag != tag && is_before(held_tag, tag);
            displaced = if older { held } else { 0 };
            let (new_tag, base) = if older { (tag, 0) } else { (held_tag, held) };
            let new = pack(new_tag, base.saturating_add(amount));
            (new != word).then_some(new)
        };
        // An update that changes nothing is no error: there is nothing to displace.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
        displaced
    }

    /// Takes up to `wanted` of what the time `tag` holds, and returns how much that was.
    fn take(&self, tag: u32, wanted: u32) -> u32 {
        let mut taken = 0;
        let update = |word| {
            let (held_tag, held) = unpack(word);
            taken = if held_tag == tag { held.min(wanted) } else { 0 };
            (taken > 0).then(|| pack(held_tag, held - taken))
        };
        // Nothing to take leaves the word as it is.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
        taken
    }

    fn held(&self, tag: u32) -> u32 {
        let (held_tag, held) = unpack(self.0.load(Ordering::Acquire));
        if held_tag == tag { held } else { 0 }
    }
}

const fn pack(tag: u32, amount: u32) -> u64 {
    (tag as u64) << 32 | amount as u64
}

#[expect(clippy::cast_possible_truncation, reason = "each half of the word is taken")]
const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// Whether `tag` is before `other`, modulo 2^32.
const fn is_before(tag: u32, other: u32) -> bool {
    other.wrapping_sub(tag) < u32::MAX / 2
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn thousandths(ratio: f64) -> u32 {
    (ratio * f64::from(RETRY)).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// One retry, in thousandths.
const RETRY: u32 = 1000;
const BUCKETS_U32: u32 = 10;
