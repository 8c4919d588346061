// SPDX-License-Identifier: Apache-2.0
//! Where an accepted connection was going, and who made it.

use std::{io, net::SocketAddr, os::fd::BorrowedFd};

use crate::kernel::{self, KernelMaps, Ticket};

/// The process that made a connection, as the kernel saw it in `connect()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Process id, in the kernel's initial pid namespace.
    pub pid: u32,
    /// User id, in the kernel's initial user namespace.
    pub uid: u32,
    /// cgroup2 id (the inode number of its directory).
    pub cgroup_id: u64,
    /// The first 15 bytes of the executable's name.
    pub comm: String,
}

/// What the kernel remembered of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The address that the program dialled.
    pub dst: SocketAddr,
    /// Who dialled.
    pub app: App,
    /// `SO_NETNS_COOKIE` of the program's network namespace.
    pub netns_cookie: u64,
    /// What names this connection of the program's socket.
    pub ticket: Ticket,
    /// The program had bound its source port itself.
    pub bound: bool,
    /// Its SYN was held and told of: somebody dials for it.
    pub announced: bool,
}

/// Tells where accepted connections were going. A connection without an answer is refused: never guess.
pub trait OrigDstSource: Send + Sync {
    /// The origin of an accepted connection, `None` if the kernel programs did not redirect it here.
    fn origin(&self, accepted: BorrowedFd<'_>) -> io::Result<Option<Origin>>;
}

impl OrigDstSource for KernelMaps {
    fn origin(&self, accepted: BorrowedFd<'_>) -> io::Result<Option<Origin>> {
        let origin = self.orig_dst(accepted).map_err(io::Error::other)?;
        Ok(origin.map(Origin::from))
    }
}

impl From<kernel::Origin> for Origin {
    fn from(origin: kernel::Origin) -> Self {
        Self {
            dst: origin.dst.0,
            app: App {
                pid: origin.caller.pid,
                uid: origin.caller.uid,
                cgroup_id: origin.caller.cgroup_id,
                comm: origin.caller.comm.into(),
            },
            netns_cookie: origin.caller.netns_cookie,
            ticket: origin.ticket,
            bound: origin.bound,
            announced: origin.announced,
        }
    }
}
