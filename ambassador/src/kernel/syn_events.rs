// SPDX-License-Identifier: Apache-2.0
//! The reader of the events that the kernel side writes about connections that wait.
//!
//! A ring buffer has one reader; reading needs no capability.
#![allow(unsafe_code, reason = "tokio has no safe way to watch a descriptor that is not a std type")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use aya::maps::{Map, MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::yield_now,
    time::timeout,
};

use super::{KernelError, event::SynEvent, maps::KernelMaps, syscall, words::Words};

/// The events of one ring, each of them once, in the order in which they happened. Its descriptor is readable when
/// there are some.
pub struct SynEvents {
    ring: RingBuf<MapData>,
    number: u32,
    awake: Arc<Words>,
}

/// The events as a task waits for them.
///
/// To wake it for each of them would cost an interrupt. Where one came, others follow: it then looks into the ring once
/// per turn of its event loop, until a turn brought none.
pub struct SynEventStream {
    events: AsyncFd<SynEvents>,
    awake: Awake,
}

/// Whether the reader of a ring looks into it by itself; as the kernel side knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Awake {
    No = 0,
    Yes = 1,
}

impl SynEvents {
    /// Makes the ring of this number, in which the kernel side tells from here on.
    pub(super) fn open(maps: &KernelMaps, number: u32, bytes: u32) -> Result<Self, KernelError> {
        let ring = syscall::ring(bytes).map_err(KernelError::Ring)?;
        maps.set_ring(number, ring.as_fd())?;
        let events = |source| KernelError::Events(Box::new(source));
        let ring =
            RingBuf::try_from(Map::RingBuf(MapData::from_fd(ring).map_err(events)?)).map_err(events)?;
        Ok(Self { ring, number, awake: maps.awake() })
    }

    /// Says whether whoever reads looks into the ring by itself, soon and again: then its descriptor does not tell of
    /// what comes.
    fn set_awake(&self, awake: Awake) {
        if let Some(word) = self.awake.word(self.number) {
            // Ordered before the next look, as the kernel side's look at the word is after what it writes.
            word.swap(awake as u64, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
    }

    /// The next event, if there is one now.
    pub fn take(&mut self) -> Option<SynEvent> {
        loop {
            let record = self.ring.next()?;
            match SynEvent::try_from(&*record) {
                Ok(event) => return Some(event),
                Err(error) => {
                    tracing::error!(%error, "the kernel programs wrote an event that makes no sense");
                }
            }
        }
    }

    /// For waiting, in the tokio runtime that this is called in.
    pub fn into_stream(self) -> io::Result<SynEventStream> {
        // SAFETY: the ring buffer's descriptor is owned by `self`, open and the same until both are dropped together.
        let events = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?;
        Ok(SynEventStream { events, awake: Awake::No })
    }
}

impl SynEventStream {
    /// Waits for the next event. Nothing is lost when the wait is given up, but whoever gives it up has to come back.
    pub async fn next(&mut self) -> io::Result<SynEvent> {
        let mut turns = 0;
        loop {
            if let Some(event) = self.events.get_mut().take() {
                self.set_awake(Awake::Yes);
                return Ok(event);
            }
            if self.awake == Awake::Yes {
                if turns < TURNS {
                    turns += 1;
                    // To behind all other tasks, and the next look at what is ready.
                    yield_now().await;
                } else {
                    self.set_awake(Awake::No);
                }
                continue;
            }
            // Bounded: a kernel side that was interrupted between two steps may fill the ring and find no room for the
            // word that wakes.
            let Ok(ready) = timeout(LONGEST_SLEEP, self.events.readable_mut()).await else { continue };
            let mut ready = ready?;
            if let Some(event) = ready.get_inner_mut().take() {
                self.set_awake(Awake::Yes);
                return Ok(event);
            }
            ready.clear_ready();
        }
    }

    fn set_awake(&mut self, awake: Awake) {
        if self.awake != awake {
            self.awake = awake;
            self.events.get_ref().set_awake(awake);
        }
    }
}

impl Drop for SynEventStream {
    fn drop(&mut self) {
        self.set_awake(Awake::No);
    }
}

/// How many turns of the event loop without an event make it wait to be woken.
const TURNS: u32 = 1;
/// After which it looks into the ring though nobody woke it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl AsFd for SynEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for SynEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}
