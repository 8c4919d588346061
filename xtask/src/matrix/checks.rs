// SPDX-License-Identifier: Apache-2.0
//! What is checked on every kernel, and how the guest tells of it: one line per check on the serial console.
//!
//! Both sides compile this file, so that a check that a guest never reached is missed by the host.

/// The checks, in the order in which the guest comes to them.
pub(crate) const CHECKS: [&str; 17] = [
    "load",
    "attach",
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
    "heartbeat: continued, redirected",
    "detach: ended",
    "detach: killed",
];

/// What precedes a check's line, and the words after the name.
pub(crate) const MARK: &str = "@check ";
/// Parts name and detail of a check that holds.
pub(crate) const HOLDS: &str = " @holds ";
/// Parts name and reason of a check that does not.
pub(crate) const FAILS: &str = " @fails ";
