// SPDX-License-Identifier: Apache-2.0
//! What becomes of a request that arrives while an earlier one of its connection has no whole reply: a flow's route
//! decides it, the reader obeys.

/// When a request that follows another one goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipelines {
    /// When the one before is answered: each has policies of its own.
    InTurn,
    /// At once: no policy acts on any of them.
    AtOnce,
}
