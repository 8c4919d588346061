// SPDX-License-Identifier: Apache-2.0
//! What `ambassador run` needs, tried out on this machine: each thing by itself, and all of it together.
//!
//! It exists because the kernel answers most of what goes wrong with EPERM or EINVAL. It asks by doing, with the code
//! of `run` itself, and leaves nothing behind: cgroups are removed, programs are never pinned.

mod capabilities;
mod finding;
mod machine;
mod together;

pub use finding::{Examination, Finding, Group, Status, Verdict};

use crate::kernel::{self, KernelError};

/// Tries everything, in the order in which one thing needs the other.
pub fn examine() -> Examination {
    let mut findings = vec![machine::kernel()];
    findings.extend([machine::cgroup2(), machine::btf(), machine::open_files(), machine::seccomp()]);
    findings.extend(capabilities::all());
    let blocked = findings.iter().find(|finding| finding.status == Status::Broken).map(|broken| broken.name);
    findings.extend(programs(blocked));
    let blocked = findings.iter().find(|finding| finding.status == Status::Broken).map(|broken| broken.name);
    findings.extend(together::all(blocked));
    Examination::of(findings)
}

/// Loads each kernel program by itself.
fn programs(blocked: Option<&'static str>) -> Vec<Finding> {
    let skipped = |because: &str| {
        let skip = |name: &&'static str| Finding::skipped(Group::Programs, name, because);
        kernel::PROGRAMS.iter().map(skip).collect()
    };
    if let Some(blocked) = blocked {
        return skipped(blocked);
    }
    match kernel::try_programs() {
        Ok(tried) => tried.into_iter().map(|(name, loaded)| program(name, loaded)).collect(),
        Err(error) => {
            let mut findings: Vec<Finding> = skipped("the kernel object");
            let hint = remedy(&error, NO_BPF);
            findings.insert(0, Finding::failed(Group::Programs, "object", Status::Broken, error, hint));
            findings
        }
    }
}

fn program(name: &'static str, loaded: Result<(), KernelError>) -> Finding {
    match loaded {
        Ok(()) => Finding::ok(Group::Programs, name, "passes the verifier"),
        // Everything else works without it.
        Err(error) if name == kernel::FILTER => {
            Finding::failed(Group::Programs, name, Status::Degraded, error, NO_FILTER)
        }
        Err(error) => {
            let hint = remedy(&error, NO_BPF);
            Finding::failed(Group::Programs, name, Status::Broken, error, hint)
        }
    }
}

/// What to do about `error`: `otherwise`, unless it is of a kind that something else helps against.
fn remedy(error: &KernelError, otherwise: &'static str) -> &'static str {
    match error {
        KernelError::UserNamespace { .. } => OUTSIDE,
        _ => otherwise,
    }
}

const NO_BPF: &str = "if bpf(2) is forbidden here (lockdown, a container's seccomp profile, a security module), allow \
                      it; else please report this with the output of `AMBASSADOR_LOG=debug ambassador run -- true`";
const OUTSIDE: &str =
    "run it outside of the user namespace, as root of the machine (a rootful container, or sudo)";
const NO_FILTER: &str = "connect() will succeed before its destination has answered; a kernel from 6.1 on has all that \
                         the filter needs";
