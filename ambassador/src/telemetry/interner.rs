// SPDX-License-Identifier: Apache-2.0
//! A bounded map from names to what is kept per name, shared by all workers.
//!
//! Why: names of destinations come from traffic, so their number has to have a limit, and every request looks one up,
//! so the lookup must not lock. A miss copies the whole map under a lock, which happens at most `cap` times; once the
//! map is full, misses answer `None` without a lock. Entries are never removed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

/// Bounded, insert-only, lock-free to read.
#[derive(Debug)]
pub(crate) struct Interner<K, V> {
    entries: ArcSwap<HashMap<K, V, RandomState>>,
    inserting: Mutex<()>,
    full: AtomicBool,
    cap: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Interner<K, V> {
    /// An empty map that takes at most `cap` entries.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            entries: ArcSwap::from_pointee(HashMap::default()),
            inserting: Mutex::new(()),
            full: AtomicBool::new(cap == 0),
            cap,
        }
    }

    /// The entry of `key`, made by `make` at its first use; `None` if it is new and the map is full.
    pub(crate) fn intern<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.read(key, make, V::clone)
    }

    /// What `read` makes of that entry where it stands: a clone of what workers share is counted by all of them.
    pub(crate) fn read<Q, R>(
        &self,
        key: &Q,
        make: impl FnOnce() -> V,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(known) = self.entries.load().get(key) {
            return Some(read(known));
        }
        if self.full.load(Ordering::Relaxed) {
            return None;
        }
        self.insert(key, make).map(|new| read(&new))
    }

    /// All entries of this moment.
    pub(crate) fn snapshot(&self) -> Arc<HashMap<K, V, RandomState>> {
        self.entries.load_full()
    }

    fn insert<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let _one_at_a_time = self.inserting.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.entries.load_full();
        if let Some(known) = current.get(key) {
            return Some(known.clone());
        }
        if current.len() >= self.cap {
            self.full.store(true, Ordering::Relaxed);
            return None;
        }
        let value = make();
        let mut next = HashMap::clone(&current);
        next.insert(key.to_owned(), value.clone());
        self.entries.store(Arc::new(next));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_cap_new_keys_get_nothing_and_old_ones_stay() {
        let interner: Interner<String, usize> = Interner::new(2);
        assert_eq!(interner.intern("a", || 1), Some(1));
        assert_eq!(interner.intern("b", || 2), Some(2));
        assert_eq!(interner.intern("c", || 3), None);
        assert_eq!(interner.intern("c", || 3), None);
        assert_eq!(interner.intern("a", || 9), Some(1));
        assert_eq!(interner.snapshot().len(), 2);
    }

    #[test]
    fn two_threads_agree_on_one_entry() {
        let interner: Interner<String, Arc<()>> = Interner::new(8);
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| interner.intern("x", || Arc::new(())));
            let two = scope.spawn(|| interner.intern("x", || Arc::new(())));
            (one.join().unwrap().unwrap(), two.join().unwrap().unwrap())
        });
        assert!(Arc::ptr_eq(&one, &two));
    }
}
