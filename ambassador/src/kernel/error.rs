// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with the kernel side, in words that tell the operator what to do.

use std::io;

/// An error of loading, attaching or using the kernel programs.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A capability is missing.
    #[error(
        "loading the kernel programs needs {capabilities}: run ambassador with sudo, or grant what is missing \
         (setcap, AmbientCapabilities=, or securityContext.capabilities)"
    )]
    MissingCapability {
        /// The names of those that are missing.
        capabilities: String,
    },
    /// The kernel forbids BPF although the capabilities are there.
    #[error(
        "the kernel refused to {operation} although the capabilities are there; kernel lockdown, a seccomp filter \
         or a security module forbids bpf(2) here"
    )]
    Forbidden {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The capabilities are those of another user namespace than the machine's.
    #[error(
        "the kernel refused to {operation}: this process is in a user namespace of its own (a rootless container, \
         unshare --user), and its capabilities count for nothing outside of it; run it as root of the machine"
    )]
    UserNamespace {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel is too old.
    #[error("Linux {found} is too old: ambassador needs 5.15, and 6.1 for all of it")]
    KernelTooOld {
        /// The running kernel's release.
        found: String,
    },
    /// The running kernel's version is not to be found out.
    #[error("the version of the running kernel is not known: uname says {release:?}")]
    UnknownKernel {
        /// What `uname -r` says.
        release: String,
    },
    /// The embedded object cannot be loaded.
    #[error("the embedded kernel object cannot be loaded")]
    Object(#[source] Box<aya::EbpfError>),
    /// The verifier, or the kernel otherwise, rejected a program; the source carries its log.
    #[error("the kernel rejected the program {program}; please report this with the log that follows")]
    Rejected {
        /// The program's name.
        program: &'static str,
        /// The kernel's answer and the verifier's log.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// The verifier rejected a program for a loader that lacks a capability, which lets the verifier do more.
    #[error(
        "the kernel rejected the program {program}: on this kernel CAP_PERFMON is needed, too; if it is rejected with \
         it, please report this with the log that follows"
    )]
    NeedsPerfmon {
        /// The program's name.
        program: &'static str,
        /// The kernel's answer and the verifier's log.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// The embedded object lacks a program or map: it is not the one that this binary was written for.
    #[error("the embedded kernel object has no {kind} {name}; rebuild it: cargo xtask ebpf")]
    Incomplete {
        /// `program` or `map`.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A program could not be attached to a cgroup.
    #[error("the program {program} cannot be attached to the cgroup")]
    Attach {
        /// The program's name.
        program: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The filter that holds SYNs was not asked for at load.
    #[error(
        "the kernel programs were loaded without the filter that lets connect() wait for the destination"
    )]
    NoFilter,
    /// The filter could not be put on a listener.
    #[error("the filter cannot be put on a listener")]
    AttachFilter(#[source] io::Error),
    /// A ring buffer of events could not be made.
    #[error("a ring buffer for the events of the kernel programs cannot be made")]
    Ring(#[source] io::Error),
    /// A ring buffer of events could not be opened.
    #[error("the events of the kernel programs cannot be read")]
    Events(#[source] Box<aya::maps::MapError>),
    /// Arming was asked for while the heartbeat is stale, which would intercept nothing.
    #[error("the heartbeat is stale: start it before arming")]
    NoHeartbeat,
    /// A map operation failed.
    #[error("cannot {operation} the kernel map {map}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// What was tried.
        operation: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file descriptor of a program or map could not be duplicated.
    #[error("cannot keep the kernel {kind} {name} open")]
    Descriptor {
        /// `program` or `map`.
        kind: &'static str,
        /// Its name.
        name: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The number of CPUs could not be read.
    #[error("cannot read {path}")]
    Cpus {
        /// Which file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel programs' log could not be opened.
    #[error("the log of the kernel programs cannot be opened")]
    Log(#[source] Box<aya_log::Error>),
}
