// SPDX-License-Identifier: Apache-2.0
//! A BPF map with typed keys and values, for many threads at once.
//!
//! The kernel synchronises map operations itself, so shared references suffice.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, OwnedFd},
};

use ambassador_ebpf::plain::Plain;

use super::{KernelError, syscall};

/// One map, opened.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    name: &'static str,
    fd: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// Takes a map whose key and value sizes are those of `K` and `V`.
    pub(super) fn new(name: &'static str, fd: OwnedFd) -> Self {
        Self { name, fd, types: PhantomData }
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<V>, KernelError> {
        syscall::lookup(self.fd.as_fd(), key).map_err(|source| self.error("read", source))
    }

    pub(super) fn set(&self, key: &K, value: &V) -> Result<(), KernelError> {
        syscall::update(self.fd.as_fd(), key, value).map_err(|source| self.error("write", source))
    }

    /// Whether there was an entry to remove.
    pub(super) fn remove(&self, key: &K) -> Result<bool, KernelError> {
        syscall::delete(self.fd.as_fd(), key).map_err(|source| self.error("delete from", source))
    }

    /// How many entries there are, at most `limit`. While others come and go it is not exact: the kernel begins anew
    /// when the last key is gone, so without the limit it might not end.
    pub(super) fn count_up_to(&self, limit: u32) -> Result<u32, KernelError> {
        let mut count = 0;
        self.visit_up_to(limit, |_| count += 1)?;
        Ok(count)
    }

    /// The keys, at most `limit`, as exact as [`count_up_to`](Self::count_up_to).
    pub(super) fn keys_up_to(&self, limit: u32) -> Result<Vec<K>, KernelError> {
        let mut keys = Vec::new();
        self.visit_up_to(limit, |key| keys.push(key))?;
        Ok(keys)
    }

    fn visit_up_to(&self, limit: u32, mut visit: impl FnMut(K)) -> Result<(), KernelError> {
        let mut last = None;
        for _ in 0..limit {
            let next = syscall::next_key::<K>(self.fd.as_fd(), last.as_ref());
            let Some(key) = next.map_err(|source| self.error("iterate", source))? else { return Ok(()) };
            visit(key);
            last = Some(key);
        }
        Ok(())
    }

    fn error(&self, operation: &'static str, source: io::Error) -> KernelError {
        KernelError::Map { map: self.name, operation, source }
    }
}

/// An array of counters with a slot per CPU.
#[derive(Debug)]
pub(super) struct PerCpuCounters {
    name: &'static str,
    fd: OwnedFd,
    cpus: usize,
}

impl PerCpuCounters {
    /// Takes a per-CPU array of `u64`; `cpus` is the number of *possible* CPUs.
    pub(super) fn new(name: &'static str, fd: OwnedFd, cpus: usize) -> Self {
        Self { name, fd, cpus }
    }

    /// The sum of a slot over all CPUs.
    pub(super) fn sum(&self, slot: u32) -> Result<u64, KernelError> {
        let mut values = vec![0; self.cpus];
        syscall::lookup_per_cpu(self.fd.as_fd(), slot, &mut values).map_err(|source| KernelError::Map {
            map: self.name,
            operation: "read",
            source,
        })?;
        Ok(values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value)))
    }
}
