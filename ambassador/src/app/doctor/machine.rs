// SPDX-License-Identifier: Apache-2.0
//! The kernel, and how this machine is set up.

use std::{fs, path::Path};

use nix::sys::resource::{Resource, getrlimit};

use super::{Finding, Group, Status};
use crate::{
    app::open_files::{are_enough, connections_within},
    host::cgroup,
    kernel::{self, KernelError, Support},
};

/// Its version.
pub(super) fn kernel() -> Finding {
    let (group, name) = (Group::Machine, "kernel");
    match kernel::support() {
        Ok((release, Support::Full)) => Finding::ok(group, name, release),
        Ok((release, Support::Basic)) => {
            let found = format!("{release}: refusals of the kernel show EPERM, and it was not tested");
            Finding::lacks(group, name, Status::Degraded, found, "Linux 6.1 or later has all that is needed")
        }
        Err(error @ KernelError::KernelTooOld { .. }) => Finding::failed(
            group,
            name,
            Status::Broken,
            error,
            "boot Linux 6.1 or later (at the very least 5.15)",
        ),
        Err(error) => Finding::failed(group, name, Status::Broken, error, "please report this"),
    }
}

/// Whether a cgroup2 hierarchy is mounted, and this process is in it.
pub(super) fn cgroup2() -> Finding {
    match cgroup::own_cgroup() {
        Ok(path) => Finding::ok(Group::Machine, "cgroup2", format!("this process is in {}", path.display())),
        Err(error) => Finding::failed(Group::Machine, "cgroup2", Status::Broken, error, MOUNT),
    }
}

/// Whether the kernel tells its types. The programs are not relocated against them, but socket storage needs them.
pub(super) fn btf() -> Finding {
    let path = "/sys/kernel/btf/vmlinux";
    if Path::new(path).exists() {
        return Finding::ok(Group::Machine, "btf", path);
    }
    let found = format!("{path} is not there; whether the programs load without it is shown below");
    let hint = "a kernel with CONFIG_DEBUG_INFO_BTF=y; in a container, mount the host's /sys";
    Finding::lacks(Group::Machine, "btf", Status::Degraded, found, hint)
}

/// How many connections the limit of open files allows.
pub(super) fn open_files() -> Finding {
    let (group, name) = (Group::Machine, "open-files");
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    if let Err(error) = are_enough(hard) {
        return Finding::failed(group, name, Status::Broken, error, "raise the hard limit");
    }
    let connections = connections_within(hard);
    let found = format!("at most {hard}, so {connections} connections at once");
    if connections >= FEW {
        return Finding::ok(group, name, found);
    }
    let hint = "raise the hard limit (ulimit -Hn 65536 as root, LimitNOFILE=): further connections wait";
    Finding::lacks(group, name, Status::Degraded, found, hint)
}

/// Whether the proxy can give up system calls.
pub(super) fn seccomp() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if actions.split_whitespace().any(|action| action == "errno") {
        return Finding::ok(Group::Machine, "seccomp", "the proxy can give up system calls");
    }
    let hint = "a kernel with CONFIG_SECCOMP_FILTER=y; without it the proxy keeps system calls that it does not need";
    Finding::lacks(Group::Machine, "seccomp", Status::Degraded, "no system call filters", hint)
}

const MOUNT: &str =
    "mount -t cgroup2 none /sys/fs/cgroup; in a container, share the host's (--cgroupns host)";
/// Fewer connections than this are soon used up.
const FEW: usize = 1000;
