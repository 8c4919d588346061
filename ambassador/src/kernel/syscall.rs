// SPDX-License-Identifier: Apache-2.0
//! `bpf(2)`: the commands that are needed beside the loader.
//!
//! Each is one system call on file descriptors that are already open; none of them needs a capability on kernels
//! from 6.1 on, except creating a map or a link. This file must know nothing of what the maps mean.
#![allow(unsafe_code, reason = "there is no safe wrapper of bpf(2) that takes shared references")]

use std::{
    ffi::{c_int, c_long},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr::{from_mut, from_ref, null, null_mut},
};

use ambassador_ebpf::plain::Plain;

/// The value of `key`; `None` when there is no entry. The map's key and value sizes are those of `K` and `V`.
pub(super) fn lookup<K: Plain, V: Plain>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::uninit();
    match element(BPF_MAP_LOOKUP_ELEM, map, from_ref(key), value.as_mut_ptr()) {
        // SAFETY: the kernel has written the whole value, and every bit pattern is valid for a `Plain`.
        Ok(()) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The values of `slot` of a per-CPU array, one for each possible CPU; `values` has room for them.
pub(super) fn lookup_per_cpu(map: BorrowedFd<'_>, slot: u32, values: &mut [u64]) -> io::Result<()> {
    element(BPF_MAP_LOOKUP_ELEM, map, from_ref(&slot), values.as_mut_ptr())
}

/// Creates or replaces the entry of `key`.
pub(super) fn update<K: Plain, V: Plain>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<()> {
    element(BPF_MAP_UPDATE_ELEM, map, from_ref(key), from_ref(value).cast_mut())
}

/// Removes the entry of `key`; whether there was one.
pub(super) fn delete<K: Plain>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    match element::<K, u8>(BPF_MAP_DELETE_ELEM, map, from_ref(key), null_mut()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The key after `key`, or the first one; `None` at the end.
pub(super) fn next_key<K: Plain>(map: BorrowedFd<'_>, key: Option<&K>) -> io::Result<Option<K>> {
    let mut next = MaybeUninit::<K>::uninit();
    match element(BPF_MAP_GET_NEXT_KEY, map, key.map_or(null(), from_ref), next.as_mut_ptr()) {
        // SAFETY: the kernel has written the whole key, and every bit pattern is valid for a `Plain`.
        Ok(()) => Ok(Some(unsafe { next.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Attaches a program to a cgroup beside those of others; the attachment ends when the result is closed (≥ 5.7).
pub(super) fn link(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        program_fd: program.as_raw_fd().cast_unsigned(),
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_type,
        flags: 0,
    };
    descriptor(BPF_LINK_CREATE, &mut attributes)
}

/// Creates a ring buffer of `bytes`, a power of two and whole pages (≥ 5.8).
pub(super) fn ring(bytes: u32) -> io::Result<OwnedFd> {
    let mut attributes =
        MapAttributes { map_type: BPF_MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries: bytes };
    descriptor(BPF_MAP_CREATE, &mut attributes)
}

fn element<K, V>(command: c_int, map: BorrowedFd<'_>, key: *const K, value: *mut V) -> io::Result<()> {
    let mut attributes = ElementAttributes {
        map_fd: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: key.expose_provenance() as u64,
        value: value.expose_provenance() as u64,
        flags: 0,
    };
    bpf(command, &mut attributes).map(|_| ())
}

/// A command that opens a descriptor.
fn descriptor<A>(command: c_int, attributes: &mut A) -> io::Result<OwnedFd> {
    let fd = c_int::try_from(bpf(command, attributes)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us (close-on-exec), and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<A>(command: c_int, attributes: &mut A) -> io::Result<c_long> {
    let attributes: *mut A = from_mut(attributes);
    // SAFETY: the attributes are a valid prefix of `union bpf_attr` for the command, of the size that is given; the
    // pointers in them outlive the call and point to keys and values of the map's sizes, as `table` guarantees.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The part of `union bpf_attr` for the element commands.
#[repr(C)]
struct ElementAttributes {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkAttributes {
    program_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
struct MapAttributes {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

const BPF_MAP_CREATE: c_int = 0;
const BPF_MAP_LOOKUP_ELEM: c_int = 1;
const BPF_MAP_UPDATE_ELEM: c_int = 2;
const BPF_MAP_DELETE_ELEM: c_int = 3;
const BPF_MAP_GET_NEXT_KEY: c_int = 4;
const BPF_LINK_CREATE: c_int = 28;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;
