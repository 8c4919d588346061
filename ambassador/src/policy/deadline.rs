// SPDX-License-Identifier: Apache-2.0
//! What is left of a request's time.
//!
//! The total limit bounds everything: no attempt, connect or wait may outlive it, whatever its own limit is.

use super::clock::Now;
use super::timeouts::Timeouts;
use std::time::Duration;

/// The instant at which a request's total time is over; none if it has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<Now>);

impl Deadline {
    /// A request without a limit; upgraded streams use it too.
    pub const NONE: Self = Self(None);

    /// `start` + `timeouts.request`.
    pub fn starting(start: Now, timeouts: &Timeouts) -> Self {
        Self(timeouts.request.map(|limit| start.after(limit)))
    }

    /// The deadline at `instant`.
    pub const fn at(instant: Now) -> Self {
        Self(Some(instant))
    }

    /// Time left; `None` without a limit, zero when it is over.
    pub fn remaining(self, now: Now) -> Option<Duration> {
        self.0.map(|at| at.remaining(now))
    }

    /// Whether the time is over.
    pub fn is_over(self, now: Now) -> bool {
        self.0.is_some_and(|at| at <= now)
    }

    /// Whether something that starts `delay` from `now` would still have time.
    pub fn allows(self, now: Now, delay: Duration) -> bool {
        self.0.is_none_or(|at| now.after(delay) < at)
    }

    /// The limit of an attempt that starts `now`: `perTry` or what is left, whichever is less.
    pub fn attempt_limit(self, now: Now, timeouts: &Timeouts) -> Limit {
        Limit::of(timeouts.per_try, self.remaining(now))
    }

    /// The limit of a connect that starts `now`: `connect`, `perTry` or what is left, whichever is least.
    pub fn connect_limit(self, now: Now, timeouts: &Timeouts) -> Limit {
        let own = timeouts.per_try.map_or(timeouts.connect, |per_try| per_try.min(timeouts.connect));
        Limit::of(Some(own), self.remaining(now))
    }
}

/// How long a step may take, and whose limit that is: it decides which outcome its end has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// As long as it wants.
    None,
    /// The step's own limit comes first: another attempt may follow.
    Own(Duration),
    /// The request's deadline comes first: nothing can follow.
    Request(Duration),
}

impl Limit {
    /// The duration, whosever it is.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Own(limit) | Self::Request(limit) => Some(limit),
        }
    }

    fn of(own: Option<Duration>, left: Option<Duration>) -> Self {
        match (own, left) {
            (None, None) => Self::None,
            (Some(own), None) => Self::Own(own),
            (Some(own), Some(left)) if own < left => Self::Own(own),
            (_, Some(left)) => Self::Request(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_smaller_limit_rules_and_says_whose_it_is() {
        let check = |per_try: Option<u64>, request: Option<u64>, passed: u64, want: Limit| {
            let timeouts = Timeouts {
                per_try: per_try.map(millis),
                request: request.map(millis),
                ..Timeouts::configured()
            };
            let deadline = Deadline::starting(Now::ORIGIN, &timeouts);
            let now = Now::from_elapsed(millis(passed));
            assert_eq!(deadline.attempt_limit(now, &timeouts), want, "{per_try:?} {request:?} {passed}");
        };
        check(None, None, 0, Limit::None);
        check(Some(200), None, 900, Limit::Own(millis(200)));
        check(Some(200), Some(1000), 0, Limit::Own(millis(200)));
        check(Some(200), Some(1000), 900, Limit::Request(millis(100)));
        check(Some(200), Some(200), 0, Limit::Request(millis(200)));
        check(None, Some(1000), 2000, Limit::Request(millis(0)));
    }

    #[test]
    fn a_connect_is_bounded_by_every_limit() {
        let mut timeouts = Timeouts::configured();
        assert_eq!(
            Deadline::NONE.connect_limit(Now::ORIGIN, &timeouts),
            Limit::Own(Timeouts::CONNECT_CONFIGURED)
        );
        timeouts.per_try = Some(millis(300));
        assert_eq!(Deadline::NONE.connect_limit(Now::ORIGIN, &timeouts), Limit::Own(millis(300)));
        let deadline = Deadline::at(Now::from_elapsed(millis(100)));
        assert_eq!(deadline.connect_limit(Now::ORIGIN, &timeouts), Limit::Request(millis(100)));
    }

    #[test]
    fn a_deadline_allows_only_what_starts_before_it() {
        let deadline = Deadline::at(Now::from_elapsed(millis(100)));
        let now = Now::from_elapsed(millis(60));
        assert!(deadline.allows(now, millis(39)) && !deadline.allows(now, millis(40)));
        assert!(!deadline.is_over(now) && deadline.is_over(Now::from_elapsed(millis(100))));
        assert!(Deadline::NONE.allows(now, Duration::MAX));
    }
}
