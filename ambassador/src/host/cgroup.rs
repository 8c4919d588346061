// SPDX-License-Identifier: Apache-2.0
//! The cgroup2 hierarchy: where it is mounted, and the cgroups that one `run` makes in it.
//!
//! A run makes `ambassador-<pid>` below the caller's cgroup with two leaves: `proxy`, into which the proxy moves
//! itself, and `cmd`, which the kernel programs are attached to and CMD is started in. The mount is looked up in
//! `/proc/self/mountinfo`, so hybrid v1/v2 systems work. Nothing is ever attached to, or removed from, a cgroup that
//! this module did not make.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use caps::Capability;
use nix::{
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
    unistd::{AccessFlags, eaccess},
};
use thiserror::Error;

use super::{privileges::holds, readable::Readable};

/// Begins the name of every cgroup that a run makes.
const PREFIX: &str = "ambassador-";

/// What can go wrong with cgroups.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// No cgroup2 file system is mounted where this process can see it.
    #[error(
        "no cgroup2 file system is mounted here: mount one (mount -t cgroup2 none /sys/fs/cgroup), or, in a \
         container, share the host's; `ip netns exec` hides it, `nsenter --net=/run/netns/NAME` does not"
    )]
    NotMounted,
    /// The caller's cgroup lies outside of the visible hierarchy (a cgroup namespace hides it).
    #[error("this process is in cgroup {path}, which is outside of the cgroup2 mount {}", mount.display())]
    Hidden {
        /// The path that the kernel shows.
        path: String,
        /// Where cgroup2 is mounted.
        mount: PathBuf,
    },
    /// The hierarchy is mounted read-only, as containers have it unless they are told otherwise.
    #[error(
        "cannot make the cgroup {}: cgroup2 is mounted read-only here; mount it read-write (mount -o \
         remount,bind,rw {}; a container needs the host's: -v /sys/fs/cgroup:/sys/fs/cgroup:rw)",
        path.display(), mount.display()
    )]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// Where cgroup2 is mounted.
        mount: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Root without the capability that makes it write anywhere.
    #[error(
        "cannot make the cgroup {}: root needs CAP_DAC_OVERRIDE for that, which is missing here; grant it, or run in a \
         cgroup that is delegated to you",
        path.display()
    )]
    NoOverride {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A cgroup could not be made.
    #[error("cannot make the cgroup {}: run as root, or in a cgroup that is delegated to you", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of the hierarchy could not be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl CgroupError {
    /// Why the cgroup `path` could not be made, told apart by what helps.
    fn not_made(path: PathBuf, source: io::Error) -> Self {
        let is_root = nix::unistd::geteuid().is_root();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => {
                let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
                let mount = cgroup2_mount(&mountinfo).map_or("/sys/fs/cgroup".into(), |(_, mount)| mount);
                Self::ReadOnly { path, mount, source }
            }
            io::ErrorKind::PermissionDenied if is_root && !holds(Capability::CAP_DAC_OVERRIDE) => {
                Self::NoOverride { path, source }
            }
            _ => Self::Create { path, source },
        }
    }
}

/// The cgroups of one run, removed when this is dropped, or by the next start if this process is killed.
pub struct RunCgroups {
    caller: PathBuf,
    root: PathBuf,
    cmd_dir: File,
    proxy_dir: File,
    /// Locked as long as the run lasts: tells those who sweep, in whichever pid namespace, that it does.
    _root_dir: File,
    entered: bool,
}

impl RunCgroups {
    /// Makes the cgroups of this run below the caller's cgroup, after removing what killed runs left there.
    pub fn create() -> Result<Self, CgroupError> {
        let caller = own_cgroup()?;
        sweep(&caller);
        let root = caller.join(format!("{PREFIX}{}", std::process::id()));
        let make = |path: PathBuf| {
            fs::create_dir(&path).map_err(|source| CgroupError::not_made(path.clone(), source))?;
            File::open(&path).map_err(|source| CgroupError::Io { path, source })
        };
        let root_dir = make(root.clone())?;
        // Nobody else locks what has just been made.
        let _ = root_dir.try_lock();
        let leaves = make(root.join("cmd")).and_then(|cmd| Ok((cmd, make(root.join("proxy"))?)));
        let (cmd_dir, proxy_dir) = leaves.inspect_err(|_| remove_tree(&root))?;
        Ok(Self { caller, root, cmd_dir, proxy_dir, _root_dir: root_dir, entered: false })
    }

    /// The cgroup that CMD runs in, for attaching programs.
    pub fn cmd(&self) -> BorrowedFd<'_> {
        self.cmd_dir.as_fd()
    }

    /// The cgroup that the proxy runs in, for attaching programs.
    pub fn proxy(&self) -> BorrowedFd<'_> {
        self.proxy_dir.as_fd()
    }

    /// `cgroup.procs` of CMD's cgroup, opened for writing.
    pub fn cmd_procs(&self) -> Result<File, CgroupError> {
        let path = self.root.join("cmd/cgroup.procs");
        File::options().write(true).open(&path).map_err(|source| CgroupError::Io { path, source })
    }

    /// Moves this process into CMD's cgroup, before there is a CMD: sockets that it makes there stay CMD's cgroup's.
    pub fn enter_cmd(&mut self) -> Result<(), CgroupError> {
        enter(&self.root.join("cmd"))?;
        self.entered = true;
        Ok(())
    }

    /// Moves this process into the proxy's cgroup.
    pub fn enter_proxy(&mut self) -> Result<(), CgroupError> {
        enter(&self.root.join("proxy"))?;
        self.entered = true;
        Ok(())
    }

    /// Whether removing the cgroups takes `CAP_DAC_OVERRIDE`: not even root may write to the hierarchy's own root
    /// directory, where a caller without a cgroup of its own is.
    pub fn needs_override_to_remove(&self) -> bool {
        fs::metadata(&self.caller).is_ok_and(|caller| caller.mode() & 0o200 == 0)
    }

    /// The processes that are in CMD's cgroup or below it, as far as this pid namespace shows them.
    pub fn pids(&self) -> Vec<u32> {
        pids(&self.root.join("cmd"))
    }

    /// Waits until no process is left in CMD's cgroup or below it.
    pub async fn emptied(&self) -> Result<(), CgroupError> {
        let path = self.root.join("cmd/cgroup.events");
        let failed = |source: io::Error| CgroupError::Io { path: path.clone(), source };
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(|e| failed(e.into()))?;
        inotify.add_watch(&path, AddWatchFlags::IN_MODIFY).map_err(|e| failed(e.into()))?;
        let inotify = Readable::new(inotify).map_err(failed)?;
        while populated(&self.root.join("cmd")) {
            inotify.take(|events| Ok(events.read_events().ok())).await.map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for RunCgroups {
    /// Moves this process back to the caller's cgroup and removes the run's cgroups. Those that still hold processes
    /// stay; the next start removes them once they are empty.
    fn drop(&mut self) {
        if self.entered
            && let Err(error) = enter(&self.caller)
        {
            tracing::warn!(%error, "cannot leave the proxy's cgroup");
        }
        remove_tree(&self.root);
    }
}

/// The directory of the calling process's cgroup.
pub fn own_cgroup() -> Result<PathBuf, CgroupError> {
    let mountinfo = read("/proc/self/mountinfo")?;
    let (root, mount) = cgroup2_mount(&mountinfo).ok_or(CgroupError::NotMounted)?;
    let cgroups = read("/proc/self/cgroup")?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::")).ok_or(CgroupError::NotMounted)?;
    let relative = Path::new(path)
        .strip_prefix(&root)
        .ok()
        .filter(|relative| !relative.starts_with(".."))
        .ok_or_else(|| CgroupError::Hidden { path: path.to_owned(), mount: mount.clone() })?;
    Ok(mount.join(relative))
}

/// Whether only `CAP_DAC_OVERRIDE` would let root make cgroups where this process is.
pub fn needs_override() -> bool {
    nix::unistd::geteuid().is_root()
        && !holds(Capability::CAP_DAC_OVERRIDE)
        && own_cgroup().is_ok_and(|own| eaccess(&own, AccessFlags::W_OK) == Err(nix::errno::Errno::EACCES))
}

fn read(path: &str) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| CgroupError::Io { path: path.into(), source })
}

/// Finds cgroup2 in the text of `mountinfo` (proc(5)): its root within the hierarchy and where it is mounted.
fn cgroup2_mount(mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        if source.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        Some((unescape(fields.next()?), unescape(fields.next()?)))
    })
}

/// Undoes mountinfo's octal escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> PathBuf {
    let plain =
        field.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\012", "\n").replace(r"\134", "\\");
    PathBuf::from(plain)
}

fn enter(cgroup: &Path) -> Result<(), CgroupError> {
    let path = cgroup.join("cgroup.procs");
    fs::write(&path, "0").map_err(|source| CgroupError::Io { path, source })
}

fn populated(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.events"))
        .is_ok_and(|events| events.lines().any(|l| l == "populated 1"))
}

fn pids(cgroup: &Path) -> Vec<u32> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for child in children(cgroup) {
        pids.extend(self::pids(&child));
    }
    pids
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

/// Removes what killed runs left below `caller`: only cgroups of a process that is gone, and only empty ones. A process
/// of another pid namespace cannot be seen, but its lock can.
fn sweep(caller: &Path) {
    for path in children(caller) {
        let Some(pid) =
            path.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.parse::<u32>().ok())
        else {
            continue;
        };
        let gone = pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists();
        if gone && !populated(&path) && File::open(&path).is_ok_and(|root| root.try_lock().is_ok()) {
            remove_tree(&path);
        }
    }
}

/// Removes a cgroup and those below it, deepest first; the kernel refuses those that hold processes.
fn remove_tree(path: &Path) {
    for child in children(path) {
        remove_tree(&child);
    }
    if let Err(error) = fs::remove_dir(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "cgroup not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_still_uses_is_not_swept() {
        let caller = tempfile::tempdir().expect("a directory");
        // Above every pid.
        let root = caller.path().join("ambassador-4294967295");
        fs::create_dir_all(root.join("cmd")).expect("a directory");
        let used = File::open(&root).expect("a directory");
        used.try_lock().expect("a lock");
        sweep(caller.path());
        assert!(root.join("cmd").exists());
        drop(used);
        sweep(caller.path());
        assert!(!root.exists());
    }

    #[test]
    fn cgroup2_is_found_on_unified_and_hybrid_systems() {
        let unified = "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let odd = "41 31 0:38 /pod\\040a /mnt/c\\040g rw,relatime master:1 - cgroup2 none rw\n";
        let check = |text, want: Option<(&str, &str)>| {
            assert_eq!(cgroup2_mount(text), want.map(|(root, mount)| (root.into(), mount.into())));
        };
        check(unified, Some(("/", "/sys/fs/cgroup")));
        check(hybrid, Some(("/", "/sys/fs/cgroup/unified")));
        check(odd, Some(("/pod a", "/mnt/c g")));
        check("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", None);
    }
}
