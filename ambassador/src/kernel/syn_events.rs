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
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    KernelError,
    event::SynEvent,
    maps::KernelMaps,
    ring_wait::{Awake, Ring, RingWait},
    syscall,
    words::Words,
};

/// The events of one ring, each of them once, in the order in which they happened. Its descriptor is readable when
/// there are some.
pub struct SynEvents {
    ring: RingBuf<MapData>,
    number: u32,
    awake: Arc<Words>,
}

/// The events as a task waits for them.
pub struct SynEventStream(RingWait<SynEvents>);

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
        let ring = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?;
        Ok(SynEventStream(RingWait::new(ring, LONGEST_SLEEP)))
    }
}

impl SynEventStream {
    /// Waits for the next event. Nothing is lost when the wait is given up, but whoever gives it up has to come back.
    pub async fn next(&mut self) -> io::Result<SynEvent> {
        self.0.next().await
    }
}

impl Ring for SynEvents {
    fn take(&mut self) -> Option<SynEvent> {
        self.take()
    }

    fn set_awake(&self, awake: Awake) {
        if let Some(word) = self.awake.word(self.number) {
            // Ordered before the next look, as the kernel side's look at the word is after what it writes.
            word.swap(awake as u64, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
    }
}

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

/// After which a ring is looked into though nobody woke its reader.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
