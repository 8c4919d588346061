// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next attempt: exponential, with full jitter.
//!
//! Full jitter spreads clients that failed together over the whole interval, so that they do not come back together.
//! It must never exceed `max` and never overflow, whatever the attempt's number.

use std::time::Duration;

/// Exponential backoff with full jitter (Envoy `retry_back_off`: `base_interval`, `max_interval`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the wait before the first retry; doubles with each further one.
    pub base: Duration,
    /// Upper bound of every wait.
    pub max: Duration,
}

impl Default for Backoff {
    /// 25 ms, at most 1 s.
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// The wait before retry number `retry` (0 is the first): uniform in `[0, ceiling(retry)]`.
    pub fn delay(&self, retry: u32, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = u64::try_from(self.ceiling(retry).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.u64(0..=ceiling))
    }

    /// The longest wait before retry number `retry`: `min(max, base × 2^retry)`.
    pub fn ceiling(&self, retry: u32) -> Duration {
        let factor = 2u32.checked_pow(retry).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let backoff = Backoff::default();
        let millis: Vec<_> = (0..8).map(|retry| backoff.ceiling(retry).as_millis()).collect();
        assert_eq!(millis, [25, 50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.ceiling(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn the_jitter_covers_the_whole_interval() {
        let mut rng = fastrand::Rng::with_seed(7);
        let delays: Vec<_> = (0..1000).map(|_| Backoff::default().delay(2, &mut rng).as_millis()).collect();
        assert!(delays.iter().any(|delay| *delay < 5) && delays.iter().any(|delay| *delay > 95));
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_ceiling(base: u64, max: u64, retry in any::<u32>(), seed: u64) {
            let backoff = Backoff { base: Duration::from_nanos(base), max: Duration::from_nanos(max) };
            let delay = backoff.delay(retry, &mut fastrand::Rng::with_seed(seed));
            let exact = u128::from(base).saturating_mul(2u128.saturating_pow(retry)).min(u128::from(max));
            prop_assert!(delay <= backoff.max && delay.as_nanos() <= exact);
        }
    }
}
