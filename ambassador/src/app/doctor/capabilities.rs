// SPDX-License-Identifier: Apache-2.0
//! The capabilities of this process, each with what it is needed for.

use caps::Capability;

use super::{Finding, Group, Status};
use crate::{
    host::{cgroup, privileges::holds},
    kernel,
};

/// A finding for each.
pub(super) fn all() -> impl Iterator<Item = Finding> {
    CAPABILITIES.iter().map(|(capability, name, missing, purpose, hint)| {
        let held = match capability {
            // As bpf(2) sees them, for which CAP_SYS_ADMIN stands for each.
            Capability::CAP_BPF | Capability::CAP_NET_ADMIN | Capability::CAP_PERFMON => {
                kernel::may(*capability)
            }
            other => holds(*other),
        };
        if held {
            Finding::ok(Group::Capabilities, name, *purpose)
        } else if *capability == Capability::CAP_DAC_OVERRIDE && cgroup::needs_override() {
            let found = format!("missing: {purpose}, where this process is");
            Finding::lacks(Group::Capabilities, name, Status::Broken, found, OVERRIDE)
        } else {
            Finding::lacks(Group::Capabilities, name, *missing, format!("missing: {purpose}"), hint)
        }
    })
}

/// Capability, its name, what it means if it is missing, what it is needed for, and what to do.
const CAPABILITIES: [(Capability, &str, Status, &str, &str); 10] = [
    (Capability::CAP_BPF, "CAP_BPF", Status::Broken, "loading the kernel programs", GRANT),
    (
        Capability::CAP_NET_ADMIN,
        "CAP_NET_ADMIN",
        Status::Broken,
        "loading and attaching the kernel programs",
        GRANT,
    ),
    (
        Capability::CAP_NET_RAW,
        "CAP_NET_RAW",
        Status::Degraded,
        "answering connect() as its destination did",
        "grant it; without it connect() succeeds before the destination has answered",
    ),
    (
        Capability::CAP_PERFMON,
        "CAP_PERFMON",
        Status::Optional,
        "names of callers without a look into /proc, and debug lines of the kernel programs",
        "nothing, or grant it",
    ),
    (
        Capability::CAP_SYS_ADMIN,
        "CAP_SYS_ADMIN",
        Status::Optional,
        "entering other network namespaces (--netns)",
        "nothing, unless you use --netns",
    ),
    (
        Capability::CAP_SETPCAP,
        "CAP_SETPCAP",
        Status::Optional,
        "emptying the proxy's bounding set",
        "nothing: the other sets are emptied all the same",
    ),
    (Capability::CAP_SETUID, "CAP_SETUID", Status::Optional, OTHER_USER, NO_OTHER_USER),
    (Capability::CAP_SETGID, "CAP_SETGID", Status::Optional, OTHER_USER, NO_OTHER_USER),
    (
        Capability::CAP_KILL,
        "CAP_KILL",
        Status::Optional,
        "passing signals on to CMD as another user",
        NO_OTHER_USER,
    ),
    (
        Capability::CAP_DAC_OVERRIDE,
        "CAP_DAC_OVERRIDE",
        Status::Optional,
        "making cgroups in the root of the hierarchy",
        "nothing, if a cgroup can be made (see below)",
    ),
];

const GRANT: &str =
    "run it with sudo, or grant it (setcap, AmbientCapabilities=, securityContext.capabilities)";
pub(super) const OVERRIDE: &str = "grant it, or run in a cgroup that is delegated to you";
const OTHER_USER: &str = "running CMD as another user (--user, sudo)";
const NO_OTHER_USER: &str = "nothing, unless you use --user";
