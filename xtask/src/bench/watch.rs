// SPDX-License-Identifier: Apache-2.0
//! What of the benchmarks is checked with the tests: counts that are the same on a busy machine, of instructions and
//! of memory.
//!
//! It exists so that what was won is not lost unseen. Speed is no such count: it is compared by hand, on a quiet machine.

use anyhow::{Result, ensure};

use super::programs::Programs;
use super::scenario::WATCHED;
use super::{pure, side_by_side};

/// Counts, prints, and fails if one is beyond its limit. Writes nothing down.
pub(crate) fn run() -> Result<()> {
    pure::watch()?;
    let programs = Programs::without_peers()?;
    for scenario in WATCHED {
        let missed = side_by_side::measure(scenario, &programs, 1, 1)?.missed();
        ensure!(missed.is_empty(), "{}, goals missed:\n{}", scenario.name, missed.concat());
    }
    Ok(())
}
