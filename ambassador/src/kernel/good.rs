// SPDX-License-Identifier: Apache-2.0
//! [`Good`]: the destinations that are known to accept, as memory that the kernel programs read.
//!
//! Where every connection goes to another destination, each is noted once, and a system call for each was 1.5 µs of the
//! 25 that it costs to ask it. A destination has one place, which the last one takes whose it is too: what
//! is forgotten by that is asked, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use ambassador_ebpf::known::{BEING_WRITTEN, GOOD_PLACES, GoodPlace, Known};

use super::words::Words;

/// The destinations that are known to accept.
#[derive(Debug)]
pub(super) struct Good(Words);

impl Good {
    /// How many words it needs.
    #[allow(clippy::cast_possible_truncation, reason = "a place is a few words long")]
    pub(super) const WORDS: u32 = GOOD_PLACES * PLACE as u32;

    /// In memory of so many words.
    pub(super) fn new(words: Words) -> Self {
        Self(words)
    }

    /// Until when `known` is known to accept, in ns of the kernel's clock; 0 when it is not known.
    pub(super) fn until_ns(&self, known: &Known) -> u64 {
        place(self.0.all(), known).map_or(0, |place| until_ns(place, known))
    }

    /// Notes it until then. Of two at the same time one has its will.
    pub(super) fn set(&self, known: &Known, until_ns: u64) {
        if let Some(place) = place(self.0.all(), known) {
            set(place, known, until_ns);
        }
    }

    /// Forgets it.
    pub(super) fn forget(&self, known: &Known) {
        if let Some(place) = place(self.0.all(), known) {
            forget(place, known);
        }
    }
}

fn place<'a>(all: &'a [AtomicU64], known: &Known) -> Option<&'a [AtomicU64; PLACE]> {
    all.as_chunks::<PLACE>().0.get(usize::try_from(known.place()).ok()?)
}

fn until_ns([until, key @ ..]: &[AtomicU64; PLACE], known: &Known) -> u64 {
    let until_ns = until.load(Ordering::Acquire);
    let is_its = key.iter().zip(known.words()).all(|(word, want)| word.load(Ordering::Relaxed) == want);
    // Ordered after the words, so that it tells of a change of any of them.
    fence(Ordering::Acquire);
    if is_its && until_ns != BEING_WRITTEN && until.load(Ordering::Relaxed) == until_ns {
        until_ns
    } else {
        0
    }
}

fn set([until, key @ ..]: &[AtomicU64; PLACE], known: &Known, until_ns: u64) {
    let seen = until.load(Ordering::Relaxed);
    if seen == BEING_WRITTEN
        || until.compare_exchange(seen, BEING_WRITTEN, Ordering::AcqRel, Ordering::Relaxed).is_err()
    {
        return;
    }
    // No word may be seen before what says that they change.
    fence(Ordering::Release);
    for (word, value) in key.iter().zip(known.words()) {
        word.store(value, Ordering::Relaxed);
    }
    until.store(until_ns, Ordering::Release);
}

fn forget(place: &[AtomicU64; PLACE], known: &Known) {
    loop {
        let seen = until_ns(place, known);
        // If it is noted anew meanwhile, that is taken back, too.
        if seen == 0 || place[0].compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

/// The words of a place.
const PLACE: usize = size_of::<GoodPlace>() / size_of::<u64>();

#[cfg(test)]
mod tests {
    use std::{array::from_fn, collections::BTreeSet, net::SocketAddr, sync::atomic::AtomicBool, thread};

    use ambassador_ebpf::landing::Endpoint;

    use super::{super::event::endpoint, *};

    fn known(netns_cookie: u64, destination: &str) -> Known {
        let destination: SocketAddr = destination.parse().expect("an address");
        let destination: Endpoint = endpoint(destination);
        Known::new(netns_cookie, &destination)
    }

    #[test]
    fn a_place_is_of_one_destination_at_a_time() {
        let place: [AtomicU64; PLACE] = from_fn(|_| AtomicU64::new(0));
        let (one, other) = (known(1, "10.0.0.1:80"), known(1, "10.0.0.1:81"));
        assert_eq!(until_ns(&place, &one), 0);
        set(&place, &one, 70);
        assert_eq!((until_ns(&place, &one), until_ns(&place, &other)), (70, 0));
        forget(&place, &other);
        assert_eq!(until_ns(&place, &one), 70, "another one was forgotten");
        set(&place, &other, 90);
        assert_eq!((until_ns(&place, &one), until_ns(&place, &other)), (0, 90));
        forget(&place, &other);
        assert_eq!(until_ns(&place, &other), 0);
    }

    #[test]
    fn what_is_being_written_is_nobodys() {
        let place: [AtomicU64; PLACE] = from_fn(|_| AtomicU64::new(0));
        let one = known(1, "[fd00::1]:80");
        set(&place, &one, 70);
        place[0].store(BEING_WRITTEN, Ordering::Relaxed);
        assert_eq!(until_ns(&place, &one), 0);
        forget(&place, &one);
        set(&place, &one, 90);
        assert_eq!(place[0].load(Ordering::Relaxed), BEING_WRITTEN, "its writer has it");
    }

    /// Each destination has times of its own, and none twice, as a clock has: who is told of a time that is not its own has
    /// met a half-written place.
    #[test]
    fn nobody_is_told_of_what_was_noted_of_another_one() {
        let place: [AtomicU64; PLACE] = from_fn(|_| AtomicU64::new(0));
        let all: [Known; 4] = from_fn(|n| known(n as u64 % 2, ["10.0.0.1:80", "10.0.0.2:81"][n / 2]));
        let (is_over, clock) = (AtomicBool::new(false), AtomicU64::new(4000));
        let wrong = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        for (n, known) in all.iter().enumerate() {
                            set(&place, known, clock.fetch_add(4, Ordering::Relaxed) + n as u64);
                        }
                        forget(&place, &all[0]);
                    }
                });
            }
            let told =
                (0..100_000).flat_map(|_| all.iter().zip(0..)).map(|(known, n)| (until_ns(&place, known), n));
            let wrong = { told }.find(|(until_ns, n)| *until_ns != 0 && until_ns % 4 != *n);
            is_over.store(true, Ordering::Relaxed);
            wrong
        });
        assert_eq!(wrong, None, "a time, and which one was told it");
    }

    #[test]
    fn destinations_that_differ_little_lie_apart() {
        let places = |all: &mut dyn Iterator<Item = Known>| {
            let places: BTreeSet<u32> = all.map(|known| known.place()).collect();
            assert!(places.iter().all(|place| *place < GOOD_PLACES));
            places.len()
        };
        let hosts =
            |netns: u64| (0..256).map(move |host| known(netns, &format!("10.0.{}.{host}:80", host % 7)));
        assert!(places(&mut hosts(1)) > 240);
        assert!(places(&mut hosts(1).chain(hosts(2))) > 480);
        assert!(places(&mut (1..257).map(|port| known(1, &format!("[fd00::1]:{port}")))) > 240);
    }
}
