// SPDX-License-Identifier: Apache-2.0
//! Gives up what the proxy no longer needs once the kernel programs are attached.
//!
//! Capabilities and `no_new_privs` belong to threads: this must run on the main thread before the workers are
//! spawned, which inherit the result, and on every thread that was spawned earlier and lives on.

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;

/// Privileges that could not be given up.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// The capability sets could not be changed.
    #[error("cannot drop capabilities")]
    Capabilities(#[source] caps::errors::CapsError),
    /// `prctl(PR_SET_NO_NEW_PRIVS)` failed.
    #[error("cannot set no_new_privs")]
    NoNewPrivileges(#[source] nix::Error),
}

/// Whether the calling thread has a capability in effect.
pub fn holds(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Drops every capability of the calling thread but those in `keep`, for good, and sets `no_new_privs`.
pub fn drop_all_but(keep: &[Capability]) -> Result<(), PrivilegeError> {
    let held = caps::read(None, CapSet::Permitted).map_err(PrivilegeError::Capabilities)?;
    let kept: CapsHashSet = held.iter().copied().filter(|cap| keep.contains(cap)).collect();
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all() {
            // A capability that this kernel does not know cannot be in the bounding set.
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
    // Ambient capabilities are unknown below 4.3 and cannot be kept without being inheritable.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable).map_err(PrivilegeError::Capabilities)?;
    caps::set(None, CapSet::Effective, &kept).map_err(PrivilegeError::Capabilities)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(PrivilegeError::Capabilities)?;
    nix::sys::prctl::set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)
}

/// Keeps other processes of the same user out of this one's memory and descriptors (`PR_SET_DUMPABLE`, proc(5)): CMD
/// may run as the same user, and a descriptor of a kernel map is all that it takes to change the map. Only
/// `CAP_SYS_PTRACE` gets in. There are no core dumps either; CMD's own exec makes it dumpable again.
pub fn hide() {
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "other processes of this user can look into the proxy");
    }
}

/// Raises the soft limit of open files to the hard one and returns the limits as they were, for CMD.
pub fn raise_open_files() -> (u64, u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let limits = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    if limits.0 < limits.1
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, limits.1, limits.1)
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    limits
}
