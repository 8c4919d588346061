// SPDX-License-Identifier: Apache-2.0
//! What travels with a redirected connection: where the program wanted to go, and who it was.

use core::net::SocketAddr;

use crate::{address::Address, plain::Plain};

/// The original destination of a redirected connection and its caller, as seen at `connect()`.
///
/// Part of a [`Flow`](crate::flow::Flow).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address that the program dialled.
    pub address: Address,
    /// Cookie of the network namespace of the client socket.
    pub netns_cookie: u64,
    /// Cookie of the client socket, unique for the life of the kernel.
    pub socket_cookie: u64,
    /// Id (inode) of the caller's cgroup v2.
    pub cgroup_id: u64,
    /// Process id of the caller in the initial pid namespace.
    pub pid: u32,
    /// User id of the caller in the initial user namespace.
    pub uid: u32,
    /// Name of the calling thread, NUL-terminated, at most 15 bytes; empty when the kernel does not tell.
    pub comm: [u8; 16],
    /// The port that the program dialled, in network byte order.
    pub port_be: u16,
    /// 1 when the program had bound its source port itself, else 0.
    pub bound: u8,
    /// Always 0.
    pub padding: [u8; 5],
}

// SAFETY: repr(C), integers and arrays of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Origin {}

const _: () = assert!(size_of::<Origin>() == 16 + 3 * 8 + 2 * 4 + 16 + 2 + 1 + 5);

impl Origin {
    /// The destination as std knows it; a v4-mapped address is IPv4.
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), u16::from_be(self.port_be))
    }

    /// The bytes of the caller's name before the first NUL.
    pub fn comm_bytes(&self) -> &[u8] {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(self.comm.len());
        &self.comm[..end]
    }
}
