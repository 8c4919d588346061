// SPDX-License-Identifier: Apache-2.0
//! Where an accepted connection was meant to go, and who made it, in safe types.

use std::{fmt, net::SocketAddr};

use ambassador_ebpf::{admission::Admission, flow::Flow, origin as abi, verdict::Ticket};

/// The address that the program dialled. A v4-mapped IPv6 address is shown as the IPv4 address that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrigDst(pub SocketAddr);

impl fmt::Display for OrigDst {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The program that connected, as it was at `connect()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Id (inode) of its cgroup v2.
    pub cgroup_id: u64,
    /// Name of the connecting thread, at most 15 bytes; bytes that are not UTF-8 are replaced. Where the kernel does
    /// not tell it (no `CAP_PERFMON` at load), the name of the process, or empty when that is gone.
    pub comm: Box<str>,
    /// Cookie of its network namespace.
    pub netns_cookie: u64,
}

/// All that the kernel side knows of one redirected connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it was meant to go.
    pub dst: OrigDst,
    /// Who made it.
    pub caller: Caller,
    /// Cookie of the client's socket, unique for the life of the kernel, and the initial sequence number of its SYN, 0
    /// where SYNs are not held.
    pub ticket: Ticket,
    /// Whether the program had bound its source port itself.
    pub bound: bool,
    /// Whether it was held and a [`SynEvent`](super::SynEvent) told of it, so that somebody dials already.
    pub announced: bool,
}

impl Origin {
    /// That of a connection which an event tells of.
    pub(super) fn announced(origin: &abi::Origin, isn: u32) -> Self {
        Self {
            dst: OrigDst(origin.destination()),
            caller: Caller {
                pid: origin.pid,
                uid: origin.uid,
                cgroup_id: origin.cgroup_id,
                comm: comm(origin),
                netns_cookie: origin.netns_cookie,
            },
            ticket: Ticket { socket_cookie: origin.socket_cookie, isn },
            bound: origin.bound != 0,
            announced: true,
        }
    }
}

impl From<&Flow> for Origin {
    fn from(flow: &Flow) -> Self {
        Self {
            announced: flow.told != 0 && flow.admission == Admission::Held as u8,
            ..Self::announced(&flow.origin, flow.isn)
        }
    }
}

fn comm(origin: &abi::Origin) -> Box<str> {
    let told = origin.comm_bytes();
    if !told.is_empty() {
        return String::from_utf8_lossy(told).into();
    }
    let read = std::fs::read(format!("/proc/{}/comm", origin.pid)).unwrap_or_default();
    String::from_utf8_lossy(&read).trim_end().into()
}
