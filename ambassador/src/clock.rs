// SPDX-License-Identifier: Apache-2.0
//! The clock of the data path, in the unit that policy counts in.
//!
//! Policy never reads a clock; whoever calls it passes this one's reading. It follows tokio's clock, so that tests
//! can pause it.

use std::sync::OnceLock;

use tokio::time::Instant;

use crate::policy::clock::Now;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// The present, counted from the first call in this process.
pub fn now() -> Now {
    at(Instant::now())
}

/// An instant in policy's unit.
pub fn at(instant: Instant) -> Now {
    // An hour of room, for instants that were taken before the first call.
    let origin = *ORIGIN.get_or_init(|| instant.checked_sub(ROOM).unwrap_or(instant));
    Now::from_elapsed(instant.saturating_duration_since(origin))
}

const ROOM: std::time::Duration = std::time::Duration::from_hours(1);
