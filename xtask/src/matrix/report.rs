// SPDX-License-Identifier: Apache-2.0
//! What the console of one machine says of the checks.

use std::fmt::Write as _;

use super::checks::{FAILS, HOLDS, KERNEL, MARK, checks};

/// The outcome of every check.
pub(crate) struct Report {
    checks: &'static [&'static str],
    outcomes: Vec<Outcome>,
}

enum Outcome {
    Holds(String),
    Fails(String),
    Missed,
}

impl Report {
    /// Finds the line of each check that is due on the kernel that was booted.
    pub(crate) fn read(console: &str) -> Self {
        let release = console.lines().find_map(|line| Some(line.split_once(KERNEL)?.1.trim()));
        let checks = checks(release.unwrap_or_default());
        Self { checks, outcomes: checks.iter().map(|name| Outcome::find(name, console)).collect() }
    }

    /// Whether all checks were made and hold.
    pub(crate) fn holds(&self) -> bool {
        self.count() == self.checks.len()
    }

    /// A line per check.
    pub(crate) fn lines(&self, kernel: &str) -> String {
        let mut text = String::new();
        for (name, outcome) in self.checks.iter().zip(&self.outcomes) {
            let _ = match outcome {
                Outcome::Holds(detail) => writeln!(text, "✓ {kernel}  {name} ({detail})"),
                Outcome::Fails(reason) => writeln!(text, "✗ {kernel}  {name}: {reason}"),
                Outcome::Missed => writeln!(text, "✗ {kernel}  {name}: not reached"),
            };
        }
        text
    }

    /// In a few words.
    pub(crate) fn verdict(&self) -> String {
        format!("{} of {} checks hold", self.count(), self.checks.len())
    }

    fn count(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Holds(_))).count()
    }
}

impl Outcome {
    fn find(name: &str, console: &str) -> Self {
        let rest = console.lines().find_map(|line| line.split_once(MARK)?.1.strip_prefix(name));
        if let Some(detail) = rest.and_then(|rest| rest.strip_prefix(HOLDS)) {
            return Self::Holds(detail.trim().to_owned());
        }
        match rest.and_then(|rest| rest.strip_prefix(FAILS)) {
            Some(reason) => Self::Fails(reason.trim().to_owned()),
            None => Self::Missed,
        }
    }
}

/// The end of a console, where the kernel or the guest says why it went no further.
pub(crate) fn last_lines(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(LAST)..].join("\n")
}

const LAST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::checks::{BELOW_FLOOR, SUPPORTED as CHECKS};

    #[test]
    fn below_the_floor_other_checks_are_due() {
        let due = |release: &str| Report::read(&format!("boot\r\n{KERNEL}{release}\r\n")).outcomes.len();
        for (release, count) in [
            ("5.10.0-32-cloud-amd64", BELOW_FLOOR.len()),
            ("5.14.1", BELOW_FLOOR.len()),
            ("5.15.0", CHECKS.len()),
            ("6.1.0-50-cloud-amd64", CHECKS.len()),
            ("7.2.13+deb14-cloud-amd64", CHECKS.len()),
        ] {
            assert_eq!(due(release), count, "{release}");
        }
        assert_eq!(Report::read("nothing was booted").outcomes.len(), CHECKS.len());
    }

    #[test]
    fn a_check_holds_fails_or_was_not_reached() {
        let console = format!(
            "boot\r\n{MARK}{}{HOLDS}well\r\n[    1.0] noise {MARK}{}{FAILS}not well\r\n",
            CHECKS[0], CHECKS[1]
        );
        let report = Report::read(&console);
        let lines = report.lines("6.1");
        let mut lines = lines.lines();
        assert_eq!(lines.next(), Some("✓ 6.1  doctor (well)"));
        assert_eq!(lines.next(), Some("✗ 6.1  load: not well"));
        assert!(lines.all(|line| line.starts_with("✗ 6.1  ") && line.ends_with(": not reached")));
        assert!(!report.holds());
    }

    #[test]
    fn no_check_is_mistaken_for_another() {
        let console = CHECKS.map(|name| format!("{MARK}{name}{HOLDS}{name}")).join("\n");
        let report = Report::read(&console);
        assert!(report.holds());
        for (line, name) in report.lines("k").lines().zip(CHECKS) {
            assert_eq!(line, format!("✓ k  {name} ({name})"));
        }
    }
}
