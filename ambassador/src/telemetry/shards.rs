// SPDX-License-Identifier: Apache-2.0
//! Counts of which each worker keeps its own, and which are added up when somebody asks.
//!
//! What all workers add to with every request is a cache line that wanders between their processors, and a locked
//! operation each time. Here a cell has one writer, so that an addition is an ordinary one. Nothing that was counted is
//! lost when a worker ends.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// So many counts, of all workers together.
pub(crate) struct Shards<const N: usize>(Mutex<Counted<N>>);

/// One writer's share of them.
pub(crate) struct Shard<const N: usize>(Arc<Cells<N>>);

impl<const N: usize> Shards<N> {
    /// A share for one more writer.
    pub(crate) fn shard(&self) -> Shard<N> {
        let cells = Arc::new(Cells([const { AtomicU64::new(0) }; N]));
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.fold();
        counted.shards.push(Arc::clone(&cells));
        Shard(cells)
    }

    /// What has been counted until now.
    pub(crate) fn sum(&self) -> [u64; N] {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.shards.iter().fold(counted.ended, |sum, cells| add(sum, cells))
    }
}

impl<const N: usize> Shard<N> {
    /// Adds to the count at `position`. Nobody else writes these cells, which the exclusive borrow says.
    pub(crate) fn add(&mut self, position: usize, amount: u64) {
        let cell = &self.0.0[position];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }
}

impl<const N: usize> Default for Shards<N> {
    fn default() -> Self {
        Self(Mutex::new(Counted { ended: [0; N], shards: Vec::new() }))
    }
}

impl<const N: usize> fmt::Debug for Shards<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shards").field(&self.sum()).finish()
    }
}

/// What has one writer, apart from what others write.
#[repr(align(128))]
struct Cells<const N: usize>([AtomicU64; N]);

struct Counted<const N: usize> {
    /// Of writers that are gone.
    ended: [u64; N],
    shards: Vec<Arc<Cells<N>>>,
}

impl<const N: usize> Counted<N> {
    /// Adds up what writers have left that are gone, so that there are never more shards than writers.
    fn fold(&mut self) {
        let ended = &mut self.ended;
        self.shards.retain_mut(|cells| {
            let gone = Arc::get_mut(cells).is_some();
            if gone {
                *ended = add(*ended, cells);
            }
            !gone
        });
    }
}

fn add<const N: usize>(mut sum: [u64; N], cells: &Cells<N>) -> [u64; N] {
    for (sum, cell) in sum.iter_mut().zip(&cells.0) {
        *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writers_counted_is_added_up_also_when_they_are_gone() {
        let shards = Shards::<2>::default();
        let mut one = shards.shard();
        one.add(0, 1);
        for turn in 0..100 {
            let mut other = shards.shard();
            other.add(0, 1);
            other.add(1, turn);
        }
        one.add(0, 1);
        assert_eq!(shards.sum(), [102, 4950]);
        let _another = shards.shard();
        let left = shards.0.lock().unwrap().shards.len();
        assert_eq!((shards.sum(), left), ([102, 4950], 2), "those of writers that are gone are given up");
    }

    #[test]
    fn threads_lose_nothing() {
        let shards = Shards::<1>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut shard = shards.shard();
                    for _ in 0..10_000 {
                        shard.add(0, 1);
                    }
                });
            }
        });
        assert_eq!(shards.sum(), [40_000]);
    }
}
