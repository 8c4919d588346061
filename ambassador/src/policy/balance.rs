// SPDX-License-Identifier: Apache-2.0
//! Which of an upstream's endpoints comes next.
//!
//! One counter that all workers share: requests are spread evenly over the whole process, not only within a worker. It
//! must never name an endpoint that does not exist, however often the set has changed.

use std::sync::atomic::{AtomicUsize, Ordering};

/// `ROUND_ROBIN` (Envoy `lb_policy`).
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl RoundRobin {
    /// The index below `endpoints` whose turn it is; `None` if there are none.
    ///
    /// `avoid` is the endpoint that just failed this request: the one after it is named. A retry takes no turn, or two
    /// endpoints of which one is down would have every request begin with that one.
    pub fn pick(&self, endpoints: usize, avoid: Option<usize>) -> Option<usize> {
        if endpoints == 0 {
            return None;
        }
        Some(match avoid {
            Some(failed) => (failed + 1) % endpoints,
            None => self.next.fetch_add(1, Ordering::Relaxed) % endpoints,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_gets_its_turn() {
        let balance = RoundRobin::default();
        let picks: Vec<_> = (0..6).map(|_| balance.pick(3, None).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
        assert_eq!(balance.pick(0, None), None);
    }

    #[test]
    fn a_retry_avoids_the_endpoint_that_failed_if_another_exists() {
        let balance = RoundRobin::default();
        for _ in 0..6 {
            assert_ne!(balance.pick(3, Some(1)), Some(1));
        }
        assert_eq!(balance.pick(1, Some(0)), Some(0));
    }
}
