// SPDX-License-Identifier: Apache-2.0
//! Awaits that a file descriptor which tokio has no type for (signalfd, inotify) turns readable.
#![allow(
    unsafe_code,
    reason = "tokio's registration of a raw descriptor asks for a promise that types cannot give"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Owns a non-blocking descriptor that is registered with the runtime.
pub(super) struct Readable<T: AsFd> {
    fd: AsyncFd<Owned<T>>,
}

impl<T: AsFd> Readable<T> {
    /// Registers `inner`; needs the runtime that will await it.
    pub(super) fn new(inner: T) -> io::Result<Self> {
        // SAFETY: `Owned` keeps `inner`, whose descriptor stays valid and the same for as long as it lives, and
        // nothing hands `inner` out by value.
        let fd = unsafe { AsyncFd::register_with_interest(Owned(inner), Interest::READABLE) }
            .map_err(|error| error.into_parts().1)?;
        Ok(Self { fd })
    }

    /// Waits until `take` has something: `take` is called now and each time the descriptor turns readable, and
    /// returns `None` when there is nothing.
    pub(super) async fn take<R>(&self, mut take: impl FnMut(&T) -> io::Result<Option<R>>) -> io::Result<R> {
        loop {
            let mut ready = self.fd.readable().await?;
            match take(&ready.get_inner().0)? {
                Some(taken) => return Ok(taken),
                None => ready.clear_ready(),
            }
        }
    }
}

struct Owned<T>(T);

impl<T: AsFd> AsRawFd for Owned<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
