// SPDX-License-Identifier: Apache-2.0
//! [`Words`]: an array that the kernel programs and this process have in common, as memory.
//!
//! A word is read and written without a system call, as any other atomic. What it means is not known here.
#![allow(unsafe_code, reason = "there is no safe way to map a BPF array into memory")]

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr::{NonNull, null_mut},
    slice,
    sync::atomic::AtomicU64,
};

use super::KernelError;

/// A BPF array of `u64` that was made with `BPF_F_MMAPABLE` (Linux 5.5), mapped into memory.
#[derive(Debug)]
pub(super) struct Words {
    first: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: it is memory that nobody but `drop` takes back, and that is only ever seen as atomics.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps an array of `count` words; the descriptor is not needed any more after that.
    pub(super) fn map(map: &'static str, fd: &OwnedFd, count: u32) -> Result<Self, KernelError> {
        let error = |source| KernelError::Map { map, operation: "map", source };
        let count = usize::try_from(count).map_err(|_| error(io::ErrorKind::InvalidInput.into()))?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses; no memory of ours is touched.
        let address = unsafe {
            libc::mmap(null_mut(), count * WORD_BYTES, access, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(error(io::Error::last_os_error()));
        }
        let first = NonNull::new(address.cast()).ok_or_else(|| error(io::ErrorKind::InvalidData.into()))?;
        Ok(Self { first, count })
    }

    /// All of them.
    pub(super) fn all(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, this long, and lives as long as `self`; the kernel programs change its
        // words by whole, aligned accesses.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }

    /// One of them.
    pub(super) fn word(&self, index: u32) -> Option<&AtomicU64> {
        self.all().get(usize::try_from(index).ok()?)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody borrows from it any more.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.count * WORD_BYTES) };
    }
}

const WORD_BYTES: usize = size_of::<AtomicU64>();
