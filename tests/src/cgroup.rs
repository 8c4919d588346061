// SPDX-License-Identifier: Apache-2.0
//! A cgroup2 group of a test, and what is attached to it.
//!
//! It exists so that a test sees exactly what its own ambassador made below it, whatever else runs on the machine.
//! Dropping it kills what is left inside and removes the groups.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// A group directly below the root of the cgroup2 hierarchy.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes an empty group.
    pub fn new() -> Result<Self> {
        let mount = mount()?;
        remove_abandoned(&mount);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = mount.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("make cgroup {} (root?)", path.display()))?;
        Ok(Self { path })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The groups below it, parents before children.
    pub fn children(&self) -> Vec<PathBuf> {
        below(&self.path)
    }

    /// How many kernel programs are attached to it and to the groups below it.
    pub fn attached_programs(&self) -> u32 {
        std::iter::once(self.path.clone()).chain(self.children()).map(|group| attached_to(&group)).sum()
    }

    /// Waits until nothing is below it and nothing is attached to it.
    pub fn until_clean(&self) -> Result<()> {
        wait::until_true(&format!("no group below and no program on {}", self.path.display()), SOON, || {
            self.children().is_empty() && self.attached_programs() == 0
        })
        .with_context(|| format!("left: {:?}, {} programs", self.children(), self.attached_programs()))
    }

    /// Kills every process in it and below it, and waits for their end.
    pub fn kill(&self) -> Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1").context("cgroup.kill needs Linux 5.14")?;
        wait::until_true("end of every process of the cgroup", SOON, || {
            fs::read_to_string(self.path.join("cgroup.events"))
                .is_ok_and(|events| events.contains("populated 0"))
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.kill();
        for group in self.children().iter().rev() {
            let _ = fs::remove_dir(group);
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes the groups of test processes that were killed, with what still runs in them.
fn remove_abandoned(mount: &Path) {
    let Ok(entries) = fs::read_dir(mount) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            drop(Cgroup { path: entry.path() });
        }
    }
}

/// Every mount point of the cgroup2 file system, from `/proc/self/mountinfo`.
pub fn mounts() -> Result<Vec<PathBuf>> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let is_cgroup2 = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("cgroup2 "));
    Ok(mountinfo
        .lines()
        .filter(is_cgroup2)
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .collect())
}

fn mount() -> Result<PathBuf> {
    mounts()?.into_iter().next().context("no cgroup2 file system is mounted")
}

fn below(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let groups = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    groups.flat_map(|group| [vec![group.clone()], below(&group)].concat()).collect()
}

/// Asks the kernel (`BPF_PROG_QUERY`) for each attach type; a type that this kernel does not know counts as none.
fn attached_to(group: &Path) -> u32 {
    let Ok(directory) = fs::File::open(group) else { return 0 };
    (0..ATTACH_TYPES)
        .map(|attach_type| {
            let mut query = Query { target_fd: directory.as_raw_fd(), attach_type, ..Query::default() };
            // SAFETY: `query` is the kernel's attribute layout of this command, and lives through the call.
            let result =
                unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
            if result == 0 { query.programs } else { 0 }
        })
        .sum()
}

/// `union bpf_attr`, member `query` (linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: i32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    programs: u32,
    padding: u32,
}

const PREFIX: &str = "ambassador-test-";
const BPF_PROG_QUERY: libc::c_int = 16;
const ATTACH_TYPES: u32 = 64;
const SOON: Duration = Duration::from_secs(5);
static NEXT: AtomicU32 = AtomicU32::new(0);
