// SPDX-License-Identifier: Apache-2.0
//! A reader and the kernel side of its ring, whose steps are taken one by one.
//!
//! The ring is a model: records in the order in which room was reserved, the word AWAKE, and the rule by which the kernel
//! wakes a reader (`bpf_ringbuf_commit`: where the reader stands at the very record).
#![allow(unsafe_code, reason = "tokio has no safe way to watch a descriptor that is not a std type")]

use std::{
    collections::VecDeque,
    io::Write as _,
    os::{
        fd::{AsFd, BorrowedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::task::JoinHandle;

use super::*;
use crate::kernel::{FlowKey, Ticket};

/// What both sides see.
struct Shared {
    /// `None`: reserved, and not written yet.
    records: VecDeque<Option<SynEvent>>,
    awake: Awake,
    looks: u32,
    wakes: UnixStream,
    /// What happens when the reader is about to say that it sleeps.
    before_sleep: Option<fn(&mut Shared)>,
}

impl Shared {
    /// The kernel side wakes whoever sleeps.
    fn wake(&mut self) {
        self.wakes.write_all(b"x").expect("room for a byte");
    }

    fn reserve(&mut self) {
        self.records.push_back(None);
    }

    /// Writes the record at `place` of those that are left. The kernel side has looked at the word before, and does
    /// once more after it.
    fn commit(&mut self, place: usize, isn: u32, awake: Awake) {
        self.records[place] = Some(event(isn));
        if awake == Awake::No && place == 0 {
            self.wake();
        }
    }
}

/// The reader's end.
struct Model {
    shared: Arc<Mutex<Shared>>,
    readable: UnixStream,
}

impl Ring for Model {
    fn take(&mut self) -> Option<SynEvent> {
        let mut shared = lock(&self.shared);
        shared.looks += 1;
        let is_written = shared.records.front().is_some_and(Option::is_some);
        if is_written { shared.records.pop_front().flatten() } else { None }
    }

    fn set_awake(&self, awake: Awake) {
        let mut shared = lock(&self.shared);
        if awake == Awake::No
            && let Some(happens) = shared.before_sleep.take()
        {
            happens(&mut shared);
        }
        shared.awake = awake;
    }
}

impl AsFd for Model {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl AsRawFd for Model {
    fn as_raw_fd(&self) -> RawFd {
        self.readable.as_raw_fd()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("no panic")
}

/// A reader of an empty ring.
fn reader(longest_sleep: Duration) -> (RingWait<Model>, Arc<Mutex<Shared>>) {
    let (wakes, readable) = UnixStream::pair().expect("a pair");
    readable.set_nonblocking(true).expect("non-blocking");
    let shared = Shared { records: VecDeque::new(), awake: Awake::No, looks: 0, wakes, before_sleep: None };
    let shared = Arc::new(Mutex::new(shared));
    // SAFETY: the descriptor is owned by the model, open and the same until both are dropped together.
    let ring = unsafe { AsyncFd::register(Model { shared: Arc::clone(&shared), readable }) };
    let ring = ring.expect("registered");
    (RingWait::new(ring, longest_sleep), shared)
}

/// The event that is told by `isn`.
fn event(isn: u32) -> SynEvent {
    let key =
        FlowKey { client: ([127, 0, 0, 1], 1).into(), listener: ([127, 0, 0, 1], 2).into(), netns_cookie: 1 };
    SynEvent::Closed { key, ticket: Ticket { socket_cookie: 1, isn }, admitted: false }
}

/// A task that waits for one event, and has gone to sleep.
async fn asleep(mut reader: RingWait<Model>) -> JoinHandle<(RingWait<Model>, SynEvent)> {
    let waiting = tokio::spawn(async move {
        let event = reader.next().await.expect("no failure");
        (reader, event)
    });
    settle().await;
    assert!(!waiting.is_finished());
    waiting
}

/// Makes the reader awake by an event that it finds without being woken: what once woke it makes it look once too often.
async fn rouse(reader: &mut RingWait<Model>, shared: &Mutex<Shared>) {
    lock(shared).reserve();
    lock(shared).commit(0, 1, Awake::Yes);
    assert_eq!(within(reader.next()).await.expect("no failure"), event(1));
    assert_eq!(lock(shared).awake, Awake::Yes, "where one came, others follow");
}

/// Lets every other task do what it can.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it is woken")
}

/// Nothing but being woken ends such a sleep.
const FOR_EVER: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_record_that_is_being_written_hides_the_next_one_and_neither_is_slept_away() {
    let (reader, shared) = reader(FOR_EVER);
    let waiting = asleep(reader).await;
    lock(&shared).reserve();
    lock(&shared).reserve();
    lock(&shared).commit(1, 2, Awake::No);
    // The word that wakes, or what was left of it: there is nothing to be had yet.
    let looks = lock(&shared).looks;
    lock(&shared).wake();
    while lock(&shared).looks == looks {
        within(tokio::time::sleep(Duration::from_millis(1))).await;
    }
    let looks = lock(&shared).looks;
    settle().await;
    assert!(!waiting.is_finished());
    assert!(lock(&shared).looks <= looks + 1, "it sleeps, and does not look again and again");
    lock(&shared).commit(0, 1, Awake::No);
    let (mut reader, first) = within(waiting).await.expect("no panic");
    assert_eq!([first, within(reader.next()).await.expect("no failure")], [event(1), event(2)]);
}

/// The kernel side saw a reader that was awake, and was slow.
#[tokio::test]
async fn a_record_that_was_being_written_when_the_reader_fell_asleep_wakes_it() {
    let (mut reader, shared) = reader(FOR_EVER);
    rouse(&mut reader, &shared).await;
    let seen = lock(&shared).awake;
    lock(&shared).reserve();
    let waiting = asleep(reader).await;
    lock(&shared).commit(0, 2, seen);
    settle().await;
    assert!(!waiting.is_finished(), "nobody has woken it yet");
    // So the kernel side looks again.
    assert_eq!(lock(&shared).awake, Awake::No, "said before it slept");
    lock(&shared).wake();
    assert_eq!(within(waiting).await.expect("no panic").1, event(2));
}

/// As above, but the ring is full: there is no room for the word that wakes.
#[tokio::test(start_paused = true)]
async fn what_nobody_was_woken_for_is_found_all_the_same() {
    let longest_sleep = Duration::from_secs(1);
    let (mut reader, shared) = reader(longest_sleep);
    rouse(&mut reader, &shared).await;
    lock(&shared).reserve();
    let waiting = asleep(reader).await;
    lock(&shared).commit(0, 2, Awake::Yes);
    assert_eq!(within(waiting).await.expect("no panic").1, event(2));
}

/// Written after the reader's last look while it was awake, and before its word that it sleeps.
#[tokio::test]
async fn a_record_that_comes_as_the_reader_falls_asleep_is_seen() {
    let (mut reader, shared) = reader(FOR_EVER);
    rouse(&mut reader, &shared).await;
    lock(&shared).before_sleep = Some(|shared| {
        shared.reserve();
        shared.commit(0, 2, Awake::Yes);
    });
    assert_eq!(within(reader.next()).await.expect("no failure"), event(2));
    assert!(lock(&shared).before_sleep.is_none(), "it did fall asleep");
}

#[tokio::test]
async fn a_reader_that_goes_says_that_it_sleeps() {
    let (mut reader, shared) = reader(FOR_EVER);
    rouse(&mut reader, &shared).await;
    drop(reader);
    assert_eq!(lock(&shared).awake, Awake::No);
}
