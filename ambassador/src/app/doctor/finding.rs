// SPDX-License-Identifier: Apache-2.0
//! What the doctor finds. Names and words are stable: scripts read them (`-o json`).

use std::error::Error;

use serde::Serialize;

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// The version of ambassador.
    pub version: &'static str,
    /// What follows for `ambassador run`.
    pub verdict: Verdict,
    /// The findings, in the order in which one thing needs the other.
    pub checks: Vec<Finding>,
}

/// Whether `ambassador run` works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does.
    Ok,
    /// It does, with less than it could.
    Degraded,
    /// It does not.
    Broken,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub group: Group,
    /// Its name, unique.
    pub name: &'static str,
    /// What came of it.
    pub status: Status,
    /// What was found, in words.
    pub found: String,
    /// What to do next; absent (`null`) where nothing is to be done.
    pub hint: Option<&'static str>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The kernel, and how this machine is set up.
    Machine,
    /// The capabilities of this process.
    Capabilities,
    /// The kernel programs, each loaded by itself.
    Programs,
    /// All of it together.
    Interception,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It lacks; `run` works with less than it could.
    Degraded,
    /// It lacks; only an option that not everybody uses needs it.
    Optional,
    /// It lacks, and `run` cannot work without it.
    Broken,
    /// It could not be tried, because of what is broken before it.
    Skipped,
}

impl Examination {
    /// Draws the verdict.
    pub(super) fn of(checks: Vec<Finding>) -> Self {
        let verdict = checks.iter().map(|finding| finding.status.verdict()).max().unwrap_or(Verdict::Ok);
        Self { version: env!("CARGO_PKG_VERSION"), verdict, checks }
    }
}

impl Status {
    fn verdict(self) -> Verdict {
        match self {
            Self::Ok | Self::Optional | Self::Skipped => Verdict::Ok,
            Self::Degraded => Verdict::Degraded,
            Self::Broken => Verdict::Broken,
        }
    }
}

impl Finding {
    /// It is as it should be.
    pub(super) fn ok(group: Group, name: &'static str, found: impl Into<String>) -> Self {
        Self { group, name, status: Status::Ok, found: found.into(), hint: None }
    }

    /// It lacks.
    pub(super) fn lacks(
        group: Group,
        name: &'static str,
        status: Status,
        found: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { group, name, status, found: found.into(), hint: Some(hint) }
    }

    /// It failed with an error, of which the first line of each cause is shown.
    pub(super) fn failed(
        group: Group,
        name: &'static str,
        status: Status,
        error: impl Error,
        hint: &'static str,
    ) -> Self {
        let mut found = String::new();
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            let separator = if found.is_empty() { "" } else { ": " };
            found = format!("{found}{separator}{}", error.to_string().lines().next().unwrap_or_default());
            cause = error.source();
        }
        Self::lacks(group, name, status, found, hint)
    }

    /// It could not be tried.
    pub(super) fn skipped(group: Group, name: &'static str, because: &str) -> Self {
        let found = format!("not tried: {because} comes first");
        Self { group, name, status: Status::Skipped, found, hint: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_verdict() {
        let verdict = |statuses: &[Status]| {
            let finding = |status: &Status| Finding::lacks(Group::Machine, "x", *status, "", "");
            Examination::of(statuses.iter().map(finding).collect()).verdict
        };
        assert_eq!(verdict(&[]), Verdict::Ok);
        assert_eq!(verdict(&[Status::Ok, Status::Optional]), Verdict::Ok);
        assert_eq!(verdict(&[Status::Degraded, Status::Ok]), Verdict::Degraded);
        assert_eq!(verdict(&[Status::Broken, Status::Degraded, Status::Skipped]), Verdict::Broken);
    }

    #[test]
    fn the_shape_of_json_is_stable() {
        let examination = Examination::of(vec![
            Finding::ok(Group::Machine, "kernel", "6.12.1"),
            Finding::skipped(Group::Interception, "attach", "CAP_BPF"),
        ]);
        let json = serde_json::to_value(&examination).expect("plain values");
        assert_eq!(
            json,
            serde_json::json!({
                "version": env!("CARGO_PKG_VERSION"),
                "verdict": "ok",
                "checks": [
                    {"group": "machine", "name": "kernel", "status": "ok", "found": "6.12.1", "hint": null},
                    {"group": "interception", "name": "attach", "status": "skipped",
                     "found": "not tried: CAP_BPF comes first", "hint": null},
                ],
            })
        );
    }
}
