// SPDX-License-Identifier: Apache-2.0
//! What policies in mode shadow would have done to one request or flow.
//!
//! It exists because a watched policy is judged by single lines before it is let loose. A set of a closed set, never
//! what was in fact done.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::labels::ShadowDecision;

/// Each decision has a bit.
const _: () = assert!(ShadowDecision::ALL.len() <= u8::BITS as usize);

/// A set of decisions that were not carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shadowed(u8);

impl Shadowed {
    /// The set of one decision.
    pub fn one(decision: ShadowDecision) -> Self {
        Self(1 << decision as u8)
    }

    /// Whether nothing would have been done.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `decision`.
    pub fn add(&mut self, decision: ShadowDecision) {
        self.0 |= Self::one(decision).0;
    }

    /// The decisions, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = ShadowDecision> {
        ShadowDecision::ALL.iter().copied().filter(move |decision| self.0 & Self::one(*decision).0 != 0)
    }
}

/// The same, for stages that share a request.
#[derive(Debug, Default)]
pub struct SharedShadow(AtomicU8);

impl SharedShadow {
    /// Adds `decision`.
    pub fn add(&self, decision: ShadowDecision) {
        self.0.fetch_or(Shadowed::one(decision).0, Relaxed);
    }

    /// What was added until now.
    pub fn all(&self) -> Shadowed {
        Shadowed(self.0.load(Relaxed))
    }
}
