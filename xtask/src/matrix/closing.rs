// SPDX-License-Identifier: Apache-2.0
//! How a run of the matrix closes: which kernels were checked, which were not, and how long it took once all was there.
//!
//! The time of the clock is said, and judged by the reader: other work on the machine is in it. Processor time is the
//! machines' own, so that too much of it fails.

use std::fmt::Write as _;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// What a run comes to.
#[derive(Default)]
pub(crate) struct Closing {
    /// Kernels that were booted.
    pub(crate) checked: usize,
    /// Kernels that could not be had, and why.
    pub(crate) skipped: Vec<String>,
    /// From the boot of each machine to its end.
    pub(crate) took: Duration,
    /// Of the processor, in that time.
    pub(crate) processor: Duration,
}

impl Closing {
    /// The last lines.
    pub(crate) fn lines(&self) -> String {
        let Self { checked, skipped, took, processor } = self;
        let (minutes, beyond) = (BOUND.as_secs() / 60, if *took > BOUND { "MORE THAN" } else { "at most" });
        let mut text = format!(
            "matrix: {checked} kernels booted and checked in {took:.0?}, {beyond} {minutes} minutes ({processor:.0?} of the \
             processor; without builds and downloads)\n"
        );
        for kernel in skipped {
            let _ = writeln!(text, "matrix: SKIPPED, and so not checked: {kernel}");
        }
        text
    }

    /// The machines themselves needed longer than a run may take, whatever else this one did.
    pub(crate) fn is_too_slow(&self) -> bool {
        self.processor > BOUND
    }
}

/// The processor time of the child processes that have ended so far.
pub(crate) fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Duration::ZERO };
    let of = |seconds: i64, micros: i64| {
        Duration::from_secs(seconds.unsigned_abs()) + Duration::from_micros(micros.unsigned_abs())
    };
    let (user, system) = (usage.user_time(), usage.system_time());
    of(user.tv_sec(), user.tv_usec()) + of(system.tv_sec(), system.tv_usec())
}

/// What all kernels may take together once they are there.
pub(crate) const BOUND: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_and_what_took_long_is_said() {
        let quick = Closing { checked: 4, took: Duration::from_secs(99), ..Closing::default() };
        let lines = quick.lines();
        assert!(lines.contains("4 kernels booted and checked in 99s, at most 5 minutes"), "{lines}");
        assert!(!lines.contains("SKIPPED") && !quick.is_too_slow());
        let busy = Closing { took: Duration::from_secs(301), ..quick };
        assert!(busy.lines().contains("in 301s, MORE THAN 5 minutes") && !busy.is_too_slow());
        let slow = Closing { processor: Duration::from_secs(301), ..busy };
        assert!(slow.is_too_slow());
        let fewer = Closing { skipped: vec!["5.10 (bullseye): not to be had".to_owned()], ..slow };
        let lines = fewer.lines();
        assert!(lines.ends_with("SKIPPED, and so not checked: 5.10 (bullseye): not to be had\n"), "{lines}");
    }

    #[test]
    fn the_processor_time_of_a_child_is_counted() {
        let before = processor_time();
        let status = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"])
            .status();
        assert!(status.is_ok_and(|status| status.success()));
        assert!(processor_time() > before);
    }
}
