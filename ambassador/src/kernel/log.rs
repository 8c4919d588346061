// SPDX-License-Identifier: Apache-2.0
//! The debug lines of the kernel programs, carried into `tracing`.
//!
//! They are off unless asked for at load: then the verifier has removed the code, and this does not exist.
#![allow(unsafe_code, reason = "tokio has no safe way to watch a descriptor that is not a std type")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};

use super::KernelError;

/// The log of the kernel programs; read it with [`KernelLog::run`].
pub struct KernelLog {
    logger: EbpfLogger<IntoTracing>,
}

impl KernelLog {
    pub(super) fn open(loaded: &mut aya::Ebpf) -> Result<Self, KernelError> {
        let logger = EbpfLogger::init_with_logger(loaded, IntoTracing)
            .map_err(|source| KernelError::Log(Box::new(source)))?;
        Ok(Self { logger })
    }

    /// Writes every line of the kernel programs to `tracing`, until it is dropped or the ring buffer fails.
    pub async fn run(self) -> io::Result<()> {
        // SAFETY: the ring buffer's descriptor is owned by `self`, open and the same until both are dropped together.
        let mut ready = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?;
        loop {
            let mut guard = ready.readable_mut().await?;
            guard.get_inner_mut().logger.flush();
            guard.clear_ready();
        }
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.logger.as_fd()
    }
}

impl AsRawFd for KernelLog {
    fn as_raw_fd(&self) -> RawFd {
        self.logger.as_raw_fd()
    }
}

/// aya speaks the `log` crate; the rest of ambassador speaks `tracing`.
struct IntoTracing;

impl ::log::Log for IntoTracing {
    fn enabled(&self, _metadata: &::log::Metadata<'_>) -> bool {
        tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
    }

    fn log(&self, record: &::log::Record<'_>) {
        tracing::debug!(target: TARGET, "{}", record.args());
    }

    fn flush(&self) {}
}

const TARGET: &str = "ambassador::kernel";
