// SPDX-License-Identifier: Apache-2.0
//! What is checked on every kernel, and how the guest tells of it: one line per check on the serial console.
//!
//! Both sides compile this file, so that a check that a guest never reached is missed by the host.

/// The checks of a kernel of this release, in the order in which the guest comes to them.
pub(crate) fn checks(release: &str) -> &'static [&'static str] {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < FLOOR => &BELOW_FLOOR,
        _ => &SUPPORTED,
    }
}

/// The oldest kernel that ambassador runs on.
const FLOOR: (u32, u32) = (5, 15);

/// Below it, ambassador must say so and touch nothing.
pub(crate) const BELOW_FLOOR: [&str; 2] = ["doctor: too old", "run: too old, and nothing is armed"];

/// From there on, everything.
pub(crate) const SUPPORTED: [&str; 20] = [
    "doctor",
    "load",
    "attach",
    "privileges",
    "redirect IPv4",
    "redirect IPv6",
    "redirect IPv4-mapped",
    "getpeername",
    "connect(): open, held until it accepted",
    "connect(): closed",
    "connect(): host unreachable",
    "connect(): network unreachable",
    "connect(): black hole",
    "connect(): eager",
    "refuse",
    "heartbeat: stopped, direct",
    "refuse: stopped, by the kernel",
    "heartbeat: continued, redirected",
    "detach: ended",
    "detach: killed",
];

/// What precedes the release of the kernel that was booted.
#[allow(dead_code, reason = "the guest leaves it to its init")]
pub(crate) const KERNEL: &str = "@kernel ";
/// What precedes a check's line, and the words after the name.
pub(crate) const MARK: &str = "@check ";
/// Parts name and detail of a check that holds.
pub(crate) const HOLDS: &str = " @holds ";
/// Parts name and reason of a check that does not.
pub(crate) const FAILS: &str = " @fails ";
