// SPDX-License-Identifier: Apache-2.0
//! The instant that policy is told.
//!
//! A plain integer, because breakers and budgets keep instants in atomics, and `std::time::Instant` cannot be
//! stored in one. Nothing here reads a clock: the caller measures, once per decision, against one fixed origin.

use std::time::Duration;

/// A monotonic instant: nanoseconds since an origin that is fixed for the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(u64);

impl Now {
    /// The origin itself.
    pub const ORIGIN: Self = Self(0);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `elapsed` after the origin; saturates after 584 years.
    pub fn from_elapsed(elapsed: Duration) -> Self {
        Self(nanos_of(elapsed))
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The instant `delay` later; saturates instead of overflowing, so a huge delay means "never".
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(delay)))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long until this instant, seen from `now`; zero if it has passed.
    pub fn remaining(self, now: Self) -> Duration {
        self.since(now)
    }
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let second = Now::from_elapsed(Duration::from_secs(1));
        assert_eq!(second.since(Now::ORIGIN), Duration::from_secs(1));
        assert_eq!(Now::ORIGIN.since(second), Duration::ZERO);
        assert_eq!(second.after(Duration::MAX), Now::from_nanos(u64::MAX));
    }
}
