// SPDX-License-Identifier: Apache-2.0
//! [`RingWait`]: how a task waits for the events of a ring.
//!
//! To wake it for each of them would cost an interrupt. Where one came, others follow: it then looks into the ring once
//! per turn of its event loop, until a turn brought none. What it must never do is to sleep for good beside a record: it
//! says that it will sleep before it looks for the last time, and sleeps for a bounded time only.

use std::{io, os::fd::AsRawFd, time::Duration};

use tokio::{io::unix::AsyncFd, task::yield_now, time::timeout};

use super::event::SynEvent;

/// A ring of events, whose descriptor is readable when there are some.
pub(super) trait Ring {
    /// The next event, if there is one now. A record that is being written still hides those behind it.
    fn take(&mut self) -> Option<SynEvent>;

    /// Says whether whoever reads looks into the ring by itself, soon and again: then its descriptor does not tell of
    /// what comes.
    fn set_awake(&self, awake: Awake);
}

/// Whether the reader of a ring looks into it by itself; as the kernel side knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Awake {
    No = 0,
    Yes = 1,
}

/// The reader of a ring.
pub(super) struct RingWait<R: Ring + AsRawFd> {
    ring: AsyncFd<R>,
    awake: Awake,
    longest_sleep: Duration,
}

impl<R: Ring + AsRawFd> RingWait<R> {
    /// Reads `ring`, and looks into it after `longest_sleep` though nobody woke it.
    pub(super) fn new(ring: AsyncFd<R>, longest_sleep: Duration) -> Self {
        Self { ring, awake: Awake::No, longest_sleep }
    }

    /// Waits for the next event.
    pub(super) async fn next(&mut self) -> io::Result<SynEvent> {
        let mut turns = 0;
        loop {
            if let Some(event) = self.ring.get_mut().take() {
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
            let Ok(ready) = timeout(self.longest_sleep, self.ring.readable_mut()).await else { continue };
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
            self.ring.get_ref().set_awake(awake);
        }
    }
}

impl<R: Ring + AsRawFd> Drop for RingWait<R> {
    fn drop(&mut self) {
        self.set_awake(Awake::No);
    }
}

/// How many turns of the event loop without an event make it wait to be woken.
const TURNS: u32 = 1;

#[cfg(test)]
mod tests;
