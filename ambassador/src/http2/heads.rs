// SPDX-License-Identifier: Apache-2.0
//! How much the heads of requests that are under way may take, all connections together.
//!
//! A head is kept for as long as its stream: a further attempt may need it. HPACK sends a field in one byte, so that a
//! program that asks for much and waits would make ambassador hold many times what it has sent. A connection may hold
//! half of what is left of a common room: alone it has much, many have little, and each may always have one head.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderMap, request::Parts};

/// What all heads come out of.
pub(crate) static ALL: Room = Room::new(ROOM);

/// How much may be held, and how much is.
pub(crate) struct Room {
    bytes: usize,
    taken: AtomicUsize,
}

/// The heads of one connection.
pub(crate) struct Heads {
    room: &'static Room,
    taken: AtomicUsize,
}

/// What one stream holds; it goes back with this.
pub(crate) struct Place {
    heads: Arc<Heads>,
    taken: AtomicUsize,
}

impl Room {
    const fn new(bytes: usize) -> Self {
        Self { bytes, taken: AtomicUsize::new(0) }
    }

    /// The heads of one more connection.
    pub(crate) fn connection(&'static self) -> Arc<Heads> {
        Arc::new(Heads { room: self, taken: AtomicUsize::new(0) })
    }
}

impl Heads {
    /// Keeps the head of a request; `None` if there is no room for it.
    pub(crate) fn keep(self: &Arc<Self>, head: &Parts) -> Option<Arc<Place>> {
        let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        self.take(STREAM + path + cost(&head.headers))
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Arc<Place>> {
        self.fits(bytes).then(|| {
            let place = Place { heads: Arc::clone(self), taken: AtomicUsize::new(0) };
            place.note(bytes);
            Arc::new(place)
        })
    }

    /// Whether so many bytes more may be held. Threads that ask at the same time may take a little too much.
    fn fits(&self, bytes: usize) -> bool {
        let held = self.taken.load(Ordering::Relaxed);
        let left = self.room.bytes.saturating_sub(self.room.taken.load(Ordering::Relaxed));
        held == 0 || held + bytes <= left / 2
    }
}

impl Place {
    /// Keeps the trailers of the same request, too; `false` if there is no room for them.
    pub(crate) fn keep(&self, trailers: &HeaderMap) -> bool {
        let bytes = cost(trailers);
        let fits = self.heads.fits(bytes);
        if fits {
            self.note(bytes);
        }
        fits
    }

    fn note(&self, bytes: usize) {
        for taken in [&self.taken, &self.heads.taken, &self.heads.room.taken] {
            taken.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let bytes = self.taken.load(Ordering::Relaxed);
        for taken in [&self.heads.taken, &self.heads.room.taken] {
            taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// About what it takes to remember fields, and to pass them on: their bytes are in the buffer that they were read to,
/// and in that from which they are written.
fn cost(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| FIELD + 2 * (name.as_str().len() + value.len())).sum()
}

/// In bytes. One connection alone may hold a third of it: 1024 heads of 15 fields, or 60 of 64 KiB.
const ROOM: usize = 16 * 1024 * 1024;
/// What a field costs beside its bytes, in two maps of which up to a half may be empty.
const FIELD: usize = 256;
/// What a stream costs beside its fields.
const STREAM: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_may_hold_a_third_and_gives_it_back() {
        static ROOM: Room = Room::new(300_000);
        for _ in 0..3 {
            let heads = ROOM.connection();
            let places: Vec<_> = std::iter::from_fn(|| heads.take(1000)).collect();
            assert_eq!(places.len(), 100);
            drop(places);
            assert_eq!(ROOM.taken.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn many_connections_share_and_none_is_without() {
        static ROOM: Room = Room::new(300_000);
        let all: Vec<_> = (0..500).map(|_| ROOM.connection()).collect();
        let places: Vec<_> = all.iter().flat_map(|heads| std::iter::from_fn(|| heads.take(1000))).collect();
        let held = |heads: &Arc<Heads>| heads.taken.load(Ordering::Relaxed);
        assert!(all.is_sorted_by_key(|heads| std::cmp::Reverse(held(heads))), "who comes later has less");
        assert!(all.iter().all(|heads| held(heads) >= 1000), "each has one");
        let shared: usize = all.iter().map(held).filter(|held| *held > 1000).sum();
        assert!(shared <= ROOM.bytes, "{shared}");
        drop(places);
        assert_eq!(ROOM.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn trailers_are_kept_beside_their_head() {
        static ROOM: Room = Room::new(4000);
        let heads = ROOM.connection();
        let mut trailers = HeaderMap::new();
        trailers.insert("a", http::HeaderValue::from_static("b"));
        let place = heads.take(1000).expect("the first one");
        assert!(place.keep(&trailers));
        assert_eq!(ROOM.taken.load(Ordering::Relaxed), 1000 + FIELD + 4);
        while place.keep(&trailers) {}
        assert!(heads.take(1000).is_none());
        drop(place);
        assert_eq!(ROOM.taken.load(Ordering::Relaxed), 0);
    }
}
