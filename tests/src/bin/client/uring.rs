// SPDX-License-Identifier: Apache-2.0
//! `connect` through `io_uring` (Linux 5.5), by raw system calls: no `connect(2)` is ever made.
//!
//! It exists because a program that dials like this escapes every interceptor that hooks the system call.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use socket2::SockAddr;

/// Connects `socket` with one submitted `IORING_OP_CONNECT`, and waits for its completion.
pub(crate) fn connect(socket: &OwnedFd, address: SocketAddr) -> Result<()> {
    let mut parameters = Parameters::default();
    // SAFETY: `parameters` is the kernel's layout and lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, &raw mut parameters) };
    ensure!(fd >= 0, "io_uring_setup(2): {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor was just made and has no other owner.
    let ring = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) };
    let submission = Mapping::new(&ring, OFFSET_SUBMISSION, 4096)?;
    let completion = Mapping::new(&ring, OFFSET_COMPLETION, 4096)?;
    let entries = Mapping::new(&ring, OFFSET_ENTRIES, 4096)?;

    let address = SockAddr::from(address);
    let entry = Entry {
        opcode: IORING_OP_CONNECT,
        fd: socket.as_raw_fd(),
        offset: u64::from(address.len()),
        address: address.as_ptr() as u64,
        ..Entry::default()
    };
    // SAFETY: the first entry of the mapped array; the kernel does not read it before the tail moves.
    unsafe { ptr::write_volatile(entries.base.cast::<Entry>(), entry) };
    // SAFETY: the index array of the submission ring, as long as the ring.
    unsafe { ptr::write_volatile(submission.at(parameters.submission.array).cast::<u32>(), 0) };
    submission.counter(parameters.submission.tail).store(1, Ordering::Release);

    // SAFETY: takes integers and a null signal mask.
    let entered = unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            1,
            1,
            IORING_ENTER_GETEVENTS,
            ptr::null::<u8>(),
            0,
        )
    };
    ensure!(entered == 1, "io_uring_enter(2): {}", std::io::Error::last_os_error());
    let tail = completion.counter(parameters.completion.tail).load(Ordering::Acquire);
    ensure!(tail == 1, "no completion");
    // SAFETY: the kernel published one completion at index 0 before it moved the tail.
    let done =
        unsafe { ptr::read_volatile(completion.at(parameters.completion.entries).cast::<Completion>()) };
    ensure!(done.result == 0, "connect: {}", std::io::Error::from_raw_os_error(-done.result));
    Ok(())
}

/// A page of the ring shared with the kernel.
struct Mapping {
    base: *mut u64,
    length: usize,
}

impl Mapping {
    fn new(ring: &OwnedFd, offset: i64, length: usize) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: maps new memory; no existing mapping is replaced.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, ring.as_raw_fd(), offset) };
        ensure!(base != libc::MAP_FAILED, "mmap of the ring: {}", std::io::Error::last_os_error());
        Ok(Self { base: base.cast(), length })
    }

    fn at(&self, offset: u32) -> *mut u64 {
        self.base.wrapping_byte_add(offset as usize)
    }

    fn counter(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel places its counters aligned at the offsets it returned, inside the mapped page.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}

/// `struct io_uring_params` (`linux/io_uring.h`).
#[repr(C)]
#[derive(Default)]
struct Parameters {
    head: [u32; 10],
    submission: SubmissionOffsets,
    completion: CompletionOffsets,
}

#[repr(C)]
#[derive(Default)]
struct SubmissionOffsets {
    head: u32,
    tail: u32,
    unused: [u32; 4],
    array: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
struct CompletionOffsets {
    head: u32,
    tail: u32,
    unused: [u32; 3],
    entries: u32,
    reserved: [u32; 4],
}

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    rest: [u32; 9],
}

/// `struct io_uring_cqe`.
#[repr(C)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

const _: () =
    assert!(size_of::<Parameters>() == 120 && size_of::<Entry>() == 64 && size_of::<Completion>() == 16);
const IORING_OP_CONNECT: u8 = 16;
const IORING_ENTER_GETEVENTS: u32 = 1;
const OFFSET_SUBMISSION: i64 = 0;
const OFFSET_COMPLETION: i64 = 0x800_0000;
const OFFSET_ENTRIES: i64 = 0x1000_0000;
