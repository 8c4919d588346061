// SPDX-License-Identifier: Apache-2.0
//! The maps of the kernel programs that are attached below a cgroup, seen from outside.
//!
//! It exists so that a test can say that nothing is left behind, without a word from the program under test.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cgroup::Cgroup;

/// How many entries the hash maps named `name` have, over all programs attached to `cgroup` and below it.
pub fn entries(cgroup: &Cgroup, name: &str) -> Result<usize> {
    let maps = named(cgroup, name)?;
    Ok(maps.iter().map(|map| keys(&map.fd, map.key)).sum())
}

/// How many words of the arrays of `u64` named `name` are not 0.
pub fn nonzero(cgroup: &Cgroup, name: &str) -> Result<usize> {
    let mut count = 0;
    for map in named(cgroup, name)? {
        ensure!((map.key, map.value) == (4, 8), "{name} is no array of u64");
        for index in 0..map.entries {
            count += usize::from(word(&map.fd, index)? != 0);
        }
    }
    Ok(count)
}

/// A map, and the sizes of its keys and values in bytes.
struct Map {
    fd: OwnedFd,
    key: usize,
    value: usize,
    entries: u32,
}

/// The maps named `name`; at least one.
fn named(cgroup: &Cgroup, name: &str) -> Result<Vec<Map>> {
    let groups = std::iter::once(cgroup.path().to_owned()).chain(cgroup.children());
    let programs: BTreeSet<u32> = groups.flat_map(|group| attached(&group)).collect();
    let mut maps = BTreeSet::new();
    for program in programs {
        maps.extend(maps_of(program)?);
    }
    let mut found = Vec::new();
    for id in maps {
        let fd = by_id(BPF_MAP_GET_FD_BY_ID, id)?;
        let mut info = [0_u8; 64];
        info_of(&fd, &mut info)?;
        let member = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        if info[24..40].split(|byte| *byte == 0).next() == Some(name.as_bytes()) {
            let (key, value) = (usize::try_from(member(8))?, usize::try_from(member(12))?);
            found.push(Map { fd, key, value, entries: member(16) });
        }
    }
    ensure!(!found.is_empty(), "no map {name} below {}", cgroup.path().display());
    Ok(found)
}

/// The programs of every attach type; a type that this kernel does not know has none.
fn attached(group: &Path) -> Vec<u32> {
    let Ok(directory) = File::open(group) else { return Vec::new() };
    let mut programs = Vec::new();
    for attach_type in 0..64 {
        let mut ids = [0_u32; 64];
        let mut query = [0_u64; 8];
        query[0] = pair(u32::try_from(directory.as_raw_fd()).unwrap_or(0), attach_type);
        query[2] = ids.as_mut_ptr() as u64;
        query[3] = 64;
        if bpf(BPF_PROG_QUERY, &mut query).is_ok() {
            programs.extend(ids.into_iter().filter(|id| *id != 0));
        }
    }
    programs
}

fn maps_of(program: u32) -> Result<Vec<u32>> {
    let program = by_id(BPF_PROG_GET_FD_BY_ID, program)?;
    let mut ids = [0_u32; 64];
    let mut info = [0_u8; 64];
    info[52..56].copy_from_slice(&64_u32.to_ne_bytes());
    info[56..64].copy_from_slice(&(ids.as_mut_ptr() as u64).to_ne_bytes());
    info_of(&program, &mut info)?;
    Ok(ids.into_iter().filter(|id| *id != 0).collect())
}

fn keys(map: &OwnedFd, length: usize) -> usize {
    let (mut key, mut next) = (vec![0_u8; length], vec![0_u8; length]);
    let mut count = 0;
    loop {
        let from = if count == 0 { 0 } else { key.as_ptr() as u64 };
        let mut attributes = [0_u64; 8];
        attributes[0] = pair(fd(map), 0);
        attributes[1] = from;
        attributes[2] = next.as_mut_ptr() as u64;
        if bpf(BPF_MAP_GET_NEXT_KEY, &mut attributes).is_err() {
            return count;
        }
        std::mem::swap(&mut key, &mut next);
        count += 1;
    }
}

fn word(map: &OwnedFd, index: u32) -> Result<u64> {
    let (key, mut value) = (index.to_ne_bytes(), 0_u64);
    let mut attributes = [0_u64; 8];
    attributes[0] = pair(fd(map), 0);
    attributes[1] = key.as_ptr() as u64;
    attributes[2] = (&raw mut value) as u64;
    bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes).context("BPF_MAP_LOOKUP_ELEM")?;
    Ok(value)
}

fn by_id(command: libc::c_int, id: u32) -> Result<OwnedFd> {
    let mut attributes = [0_u64; 8];
    attributes[0] = pair(id, 0);
    let fd = bpf(command, &mut attributes).with_context(|| format!("open object {id}"))?;
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) })
}

fn info_of(object: &OwnedFd, info: &mut [u8; 64]) -> Result<()> {
    let mut attributes = [0_u64; 8];
    attributes[0] = pair(fd(object), 64);
    attributes[1] = info.as_mut_ptr() as u64;
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes).context("BPF_OBJ_GET_INFO_BY_FD")?;
    Ok(())
}

fn fd(object: &OwnedFd) -> u32 {
    u32::try_from(object.as_raw_fd()).unwrap_or(0)
}

/// Two `u32` members of `union bpf_attr` that follow one another.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

/// `bpf(2)`.
fn bpf(command: libc::c_int, attributes: &mut [u64; 8]) -> std::io::Result<i64> {
    // SAFETY: the attributes live through the call, as do the buffers that the callers point them at.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), 64) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_MAP_GET_FD_BY_ID: libc::c_int = 14;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_QUERY: libc::c_int = 16;
