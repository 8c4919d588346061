// SPDX-License-Identifier: Apache-2.0
//! Programs with debug lines and programs without, of which the loader takes one.
//!
//! A switch that the verifier sees to be off would do for a loader with `CAP_PERFMON`. Without it the verifier of 6.1
//! also follows the branches that are never taken, as a processor might, and refuses what it finds in those.

/// Without debug lines.
pub(crate) const SILENT: bool = false;
/// With debug lines: the programs whose names end in `_debug`.
pub(crate) const LINES: bool = true;
