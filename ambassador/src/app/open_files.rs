// SPDX-License-Identifier: Apache-2.0
//! How the open files that the process may have are divided among those who need them.
//!
//! Connections of programs, dials for connections that are not accepted yet, and connections that are kept for later
//! draw from the same limit. Each has its part, so that what nobody waits for never keeps out what somebody does.

use std::thread::available_parallelism;

use thiserror::Error;

use crate::net::listen::{SPREAD_V4, SPREAD_V6};

/// The parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenFiles {
    /// Connections of programs that may be open at once; each takes two descriptors.
    pub(super) flows: usize,
    /// Connections that may be dialled for before they are accepted.
    pub(super) held: usize,
    /// Idle upstream connections that each worker may keep for later flows.
    pub(super) kept_per_worker: usize,
}

impl OpenFiles {
    /// Divides `limit` among `workers`, which have so many listeners together.
    pub(super) fn divide(limit: u64, listeners: u64, workers: usize) -> Self {
        // A listener takes one, and may hold one connection that waits for its permit.
        let left = usize::try_from(limit.saturating_sub(OWN + 2 * listeners)).unwrap_or(usize::MAX);
        let held = (left / 8).min(HELD_MOST);
        let kept_per_worker = (left / 8 / workers.max(1)).min(KEPT_MOST);
        let flows = (left - held - kept_per_worker * workers) / 2;
        Self { flows: flows.max(1), held, kept_per_worker }
    }
}

/// The limit is so low that not even one connection would fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too few open files: the limit is {limit}, and ambassador needs {needed} (ulimit -Hn, LimitNOFILE=)")]
pub struct TooFewOpenFiles {
    limit: u64,
    needed: u64,
}

/// Refuses a limit within which `workers` cannot serve so many namespaces: what would fail is a matter of chance.
pub(super) fn check(limit: u64, workers: usize, namespaces: usize) -> Result<(), TooFewOpenFiles> {
    let needed = needed(workers, namespaces);
    if limit < needed { Err(TooFewOpenFiles { limit, needed }) } else { Ok(()) }
}

/// The fewest open files that are enough: programs, maps and links of the kernel, the listeners, a flow.
fn needed(workers: usize, namespaces: usize) -> u64 {
    let listeners = workers * namespaces * (usize::from(SPREAD_V4) + SPREAD_V6);
    AT_LEAST + listeners as u64
}

/// Whether `run` works within `limit`, with one namespace.
pub(super) fn are_enough(limit: u64) -> Result<(), TooFewOpenFiles> {
    check(limit, available_parallelism().map_or(1, usize::from), 1)
}

/// How many connections of programs can be open within `limit`, with the listeners of one namespace.
pub(super) fn connections_within(limit: u64) -> usize {
    let workers = available_parallelism().map_or(1, usize::from);
    let listeners = workers * (usize::from(SPREAD_V4) + SPREAD_V6);
    OpenFiles::divide(limit, listeners as u64, workers).flows
}

/// Descriptors that are neither flows' nor listeners': maps, programs, threads, logs.
const OWN: u64 = 128;
/// Those of them that there always are; and two for a connection.
const AT_LEAST: u64 = 72;
/// The kernel side tells of no more (its table of flows).
const HELD_MOST: usize = 65_536;
/// More idle connections than this are of no use to a worker.
const KEPT_MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_leaves_room_for_flows() {
        let files = |flows, held, kept_per_worker| OpenFiles { flows, held, kept_per_worker };
        for (limit, want) in [
            (0, files(1, 0, 0)),
            (256, files(30, 10, 5)),
            (1024, files(318, 106, 53)),
            (20_000, files(7649, 2478, 1024)),
            (1 << 20, files(490_408, 65_536, 1024)),
        ] {
            assert_eq!(OpenFiles::divide(limit, 24, 2), want, "{limit}");
        }
    }
}
