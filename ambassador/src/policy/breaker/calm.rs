// SPDX-License-Identifier: Apache-2.0
//! What a breaker that stays closed is asked with every call, in a word each.
//!
//! Nearly every call meets a closed breaker and succeeds. Looking the epoch up for that takes a few atomic writes, and
//! twice per call. A word may say less than the epoch, never more: it must not call a breaker closed that has left
//! CLOSED.

use std::sync::atomic::{AtomicU64, Ordering};

/// The generation that is known to be CLOSED, if one is.
///
/// The word only grows: twice the generation while it is CLOSED, one more when it is or may be left. So a worker that is
/// late with its news cannot undo what another one has said since.
#[derive(Debug, Default)]
pub(super) struct Calm(AtomicU64);

impl Calm {
    /// The generation of the present epoch, if that is sure to be CLOSED.
    pub(super) fn generation(&self) -> Option<u64> {
        let word = self.0.load(Ordering::Acquire);
        word.is_multiple_of(2).then_some(word / 2)
    }

    /// `generation` has begun, and is CLOSED.
    pub(super) fn begin(&self, generation: u64) {
        self.0.fetch_max(2 * generation, Ordering::AcqRel);
    }

    /// `generation` is about to end.
    pub(super) fn end(&self, generation: u64) {
        self.0.fetch_max(2 * generation + 1, Ordering::AcqRel);
    }
}

/// Failures since the last success, of one generation at a time: the other half of the word says of which.
#[derive(Debug, Default)]
pub(super) struct Consecutive(AtomicU64);

impl Consecutive {
    /// Counts a failure, and returns how many there are with it.
    pub(super) fn fail(&self, generation: u64) -> u32 {
        let mut failures = 1;
        let update = |word| {
            failures = if is_of(word, generation) { count(word).saturating_add(1) } else { 1 };
            Some(pack(generation, failures))
        };
        // It always has a new value.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
        failures
    }

    /// Begins anew.
    pub(super) fn succeed(&self, generation: u64) {
        // Load first: a store per success would bounce the cache line between all workers.
        let word = self.0.load(Ordering::Acquire);
        if count(word) != 0 && is_of(word, generation) {
            // Whoever has changed it meanwhile came later.
            let new = pack(generation, 0);
            let _ = self.0.compare_exchange(word, new, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// How many there are.
    pub(super) fn failures(&self, generation: u64) -> u32 {
        let word = self.0.load(Ordering::Relaxed);
        if is_of(word, generation) { count(word) } else { 0 }
    }
}

/// Generations are told apart modulo 2^32.
const fn pack(generation: u64, failures: u32) -> u64 {
    generation << 32 | failures as u64
}

const fn is_of(word: u64, generation: u64) -> bool {
    word >> 32 == generation & u32::MAX as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is taken")]
const fn count(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_news_of_a_generation_undo_nothing() {
        let calm = Calm::default();
        assert_eq!(calm.generation(), Some(0));
        calm.end(0);
        assert_eq!(calm.generation(), None);
        calm.begin(2);
        assert_eq!(calm.generation(), Some(2));
        calm.end(0);
        assert_eq!(calm.generation(), Some(2), "that one was over before");
        calm.end(4);
        calm.begin(4);
        assert_eq!(calm.generation(), None, "its end was told first");
    }

    #[test]
    fn failures_belong_to_their_generation() {
        let consecutive = Consecutive::default();
        assert_eq!((consecutive.fail(0), consecutive.fail(0)), (1, 2));
        assert_eq!(consecutive.failures(1), 0);
        assert_eq!(consecutive.fail(1), 1);
        consecutive.succeed(0);
        assert_eq!(consecutive.failures(1), 1, "a success of another one says nothing");
        consecutive.succeed(1);
        assert_eq!(consecutive.failures(1), 0);
    }
}
