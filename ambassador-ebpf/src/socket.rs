// SPDX-License-Identifier: Apache-2.0
//! Reading and writing the kernel's contexts.
//!
//! The verifier rewrites accesses to context fields and accepts only whole 4-byte ones, so each field is read and
//! written through a raw pointer, volatile, one word at a time, and the socket is read only once. LLVM would
//! otherwise merge or split the accesses, or keep a pointer into the context, which is refused.

use core::ptr::{addr_of, addr_of_mut};

use ambassador_ebpf::{address::Address, landing::Endpoint};
use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr, bpf_sock_ops},
    helpers::bpf_get_netns_cookie,
    programs::{SockAddrContext, SockOpsContext},
};

/// The context of `connect*` and `getpeername*`: an address that can be rewritten, and its socket.
pub(crate) struct SocketAddress {
    context: *mut bpf_sock_addr,
    socket: *mut bpf_sock,
}

impl SocketAddress {
    #[inline(always)]
    pub(crate) fn new(ctx: &SockAddrContext) -> Self {
        let context = ctx.sock_addr;
        // SAFETY: the kernel passes a valid context for as long as the program runs; every member of the union is
        // the same pointer. Read once: see the head of this file.
        let socket = unsafe { addr_of!((*context).__bindgen_anon_1.sk).read_volatile() };
        Self { context, socket }
    }

    /// The context as helpers take it.
    #[inline(always)]
    pub(crate) fn raw(&self) -> *mut core::ffi::c_void {
        self.context.cast()
    }

    #[inline(always)]
    pub(crate) fn socket(&self) -> *mut bpf_sock {
        self.socket
    }

    #[inline(always)]
    pub(crate) fn protocol(&self) -> u32 {
        // SAFETY: valid context, see `new`.
        unsafe { addr_of!((*self.context).protocol).read_volatile() }
    }

    /// The address and port of an IPv4 hook.
    #[inline(always)]
    pub(crate) fn read_v4(&self) -> Endpoint {
        // SAFETY: valid context, see `new`.
        let word = unsafe { addr_of!((*self.context).user_ip4).read_volatile() };
        Endpoint { address: Address::from_v4_be(word), port_be: self.port_be() }
    }

    /// The address and port of an IPv6 hook.
    #[inline(always)]
    pub(crate) fn read_v6(&self) -> Endpoint {
        let mut words_be = [0; 4];
        // SAFETY: valid context, see `new`.
        words_be[0] = unsafe { addr_of!((*self.context).user_ip6[0]).read_volatile() };
        // SAFETY: as above.
        words_be[1] = unsafe { addr_of!((*self.context).user_ip6[1]).read_volatile() };
        // SAFETY: as above.
        words_be[2] = unsafe { addr_of!((*self.context).user_ip6[2]).read_volatile() };
        // SAFETY: as above.
        words_be[3] = unsafe { addr_of!((*self.context).user_ip6[3]).read_volatile() };
        Endpoint { address: Address { words_be }, port_be: self.port_be() }
    }

    /// Rewrites the address and port of an IPv4 hook.
    #[inline(always)]
    pub(crate) fn write_v4(&self, endpoint: &Endpoint) {
        // SAFETY: valid context, see `new`; the field is writable in these hooks.
        unsafe { addr_of_mut!((*self.context).user_ip4).write_volatile(endpoint.address.words_be[3]) };
        self.write_port(endpoint.port_be);
    }

    /// Rewrites the address and port of an IPv6 hook.
    #[inline(always)]
    pub(crate) fn write_v6(&self, endpoint: &Endpoint) {
        let words_be = endpoint.address.words_be;
        // SAFETY: valid context, see `new`; the field is writable in these hooks.
        unsafe { addr_of_mut!((*self.context).user_ip6[0]).write_volatile(words_be[0]) };
        // SAFETY: as above.
        unsafe { addr_of_mut!((*self.context).user_ip6[1]).write_volatile(words_be[1]) };
        // SAFETY: as above.
        unsafe { addr_of_mut!((*self.context).user_ip6[2]).write_volatile(words_be[2]) };
        // SAFETY: as above.
        unsafe { addr_of_mut!((*self.context).user_ip6[3]).write_volatile(words_be[3]) };
        self.write_port(endpoint.port_be);
    }

    #[inline(always)]
    fn port_be(&self) -> u16 {
        // SAFETY: valid context, see `new`. The port is the low half, in network byte order.
        let word = unsafe { addr_of!((*self.context).user_port).read_volatile() };
        word as u16
    }

    #[inline(always)]
    fn write_port(&self, port_be: u16) {
        // SAFETY: valid context, see `new`; the field is writable in these hooks.
        unsafe { addr_of_mut!((*self.context).user_port).write_volatile(u32::from(port_be)) };
    }

    /// The socket's own IPv4 address and port.
    #[inline(always)]
    pub(crate) fn local_v4(&self) -> Endpoint {
        // SAFETY: the context's socket is valid while the program runs.
        let word = unsafe { addr_of!((*self.socket).src_ip4).read_volatile() };
        Endpoint { address: Address::from_v4_be(word), port_be: self.local_port_be() }
    }

    /// The socket's own IPv6 address and port.
    #[inline(always)]
    pub(crate) fn local_v6(&self) -> Endpoint {
        let mut words_be = [0; 4];
        // SAFETY: the context's socket is valid while the program runs.
        words_be[0] = unsafe { addr_of!((*self.socket).src_ip6[0]).read_volatile() };
        // SAFETY: as above.
        words_be[1] = unsafe { addr_of!((*self.socket).src_ip6[1]).read_volatile() };
        // SAFETY: as above.
        words_be[2] = unsafe { addr_of!((*self.socket).src_ip6[2]).read_volatile() };
        // SAFETY: as above.
        words_be[3] = unsafe { addr_of!((*self.socket).src_ip6[3]).read_volatile() };
        Endpoint { address: Address { words_be }, port_be: self.local_port_be() }
    }

    /// Whether the socket has a port: before it connects, one that it was bound to.
    #[inline(always)]
    pub(crate) fn has_port(&self) -> bool {
        self.local_port_be() != 0
    }

    #[inline(always)]
    fn local_port_be(&self) -> u16 {
        // SAFETY: the context's socket is valid while the program runs. The field is in host byte order.
        let port = unsafe { addr_of!((*self.socket).src_port).read_volatile() };
        (port as u16).to_be()
    }

    /// The IPv4 address and port that the socket is connected to.
    #[inline(always)]
    pub(crate) fn remote_v4(&self) -> Endpoint {
        // SAFETY: the context's socket is valid while the program runs.
        let word = unsafe { addr_of!((*self.socket).dst_ip4).read_volatile() };
        Endpoint { address: Address::from_v4_be(word), port_be: self.remote_port_be() }
    }

    /// The IPv6 address and port that the socket is connected to.
    #[inline(always)]
    pub(crate) fn remote_v6(&self) -> Endpoint {
        let mut words_be = [0; 4];
        // SAFETY: the context's socket is valid while the program runs.
        words_be[0] = unsafe { addr_of!((*self.socket).dst_ip6[0]).read_volatile() };
        // SAFETY: as above.
        words_be[1] = unsafe { addr_of!((*self.socket).dst_ip6[1]).read_volatile() };
        // SAFETY: as above.
        words_be[2] = unsafe { addr_of!((*self.socket).dst_ip6[2]).read_volatile() };
        // SAFETY: as above.
        words_be[3] = unsafe { addr_of!((*self.socket).dst_ip6[3]).read_volatile() };
        Endpoint { address: Address { words_be }, port_be: self.remote_port_be() }
    }

    #[inline(always)]
    fn remote_port_be(&self) -> u16 {
        // SAFETY: the context's socket is valid while the program runs.
        unsafe { addr_of!((*self.socket).dst_port).read_volatile() }
    }

    /// The interface that the socket is bound to; 0 is none.
    #[inline(always)]
    pub(crate) fn bound_interface(&self) -> u32 {
        // SAFETY: the context's socket is valid while the program runs.
        unsafe { addr_of!((*self.socket).bound_dev_if).read_volatile() }
    }

    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: the helper only reads the context.
        unsafe { bpf_get_netns_cookie(self.raw()) }
    }
}

/// The context of the `sock_ops` programs: an event of a full TCP socket.
pub(crate) struct SocketEvent {
    context: *mut bpf_sock_ops,
    socket: *mut bpf_sock,
}

impl SocketEvent {
    /// `None` for an event that has no full socket.
    #[inline(always)]
    pub(crate) fn new(ctx: &SockOpsContext) -> Option<Self> {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let socket = unsafe { addr_of!((*ctx.ops).__bindgen_anon_2.sk).read_volatile() };
        (!socket.is_null()).then_some(Self { context: ctx.ops, socket })
    }

    #[inline(always)]
    pub(crate) fn socket(&self) -> *mut bpf_sock {
        self.socket
    }

    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: the helper only reads the context.
        unsafe { bpf_get_netns_cookie(self.context.cast()) }
    }

    /// The first argument of the event; the old state in a state change.
    #[inline(always)]
    pub(crate) fn first_argument(&self) -> u32 {
        // SAFETY: valid context, see `new`.
        unsafe { addr_of!((*self.context).__bindgen_anon_1.args[0]).read_volatile() }
    }

    /// The sequence number that is sent next, in host byte order.
    #[inline(always)]
    pub(crate) fn next_sequence(&self) -> u32 {
        // SAFETY: valid context, see `new`.
        unsafe { addr_of!((*self.context).snd_nxt).read_volatile() }
    }

    /// The sequence number that is expected next from the other side, in host byte order.
    #[inline(always)]
    pub(crate) fn next_expected(&self) -> u32 {
        // SAFETY: valid context, see `new`.
        unsafe { addr_of!((*self.context).rcv_nxt).read_volatile() }
    }

    /// The second argument of the event; the new state in a state change.
    #[inline(always)]
    pub(crate) fn second_argument(&self) -> u32 {
        // SAFETY: valid context, see `new`.
        unsafe { addr_of!((*self.context).__bindgen_anon_1.args[1]).read_volatile() }
    }

    /// The address and port of this side.
    #[inline(always)]
    pub(crate) fn local(&self) -> Endpoint {
        // SAFETY: valid context, see `new`. The field is in host byte order.
        let port = unsafe { addr_of!((*self.context).local_port).read_volatile() };
        let port_be = (port as u16).to_be();
        // SAFETY: valid context, see `new`.
        let v4_be = unsafe { addr_of!((*self.context).local_ip4).read_volatile() };
        let mut words_be = [0; 4];
        // SAFETY: valid context, see `new`.
        words_be[0] = unsafe { addr_of!((*self.context).local_ip6[0]).read_volatile() };
        // SAFETY: as above.
        words_be[1] = unsafe { addr_of!((*self.context).local_ip6[1]).read_volatile() };
        // SAFETY: as above.
        words_be[2] = unsafe { addr_of!((*self.context).local_ip6[2]).read_volatile() };
        // SAFETY: as above.
        words_be[3] = unsafe { addr_of!((*self.context).local_ip6[3]).read_volatile() };
        Endpoint { address: self.address(v4_be, words_be), port_be }
    }

    /// The address and port of the other side.
    #[inline(always)]
    pub(crate) fn remote(&self) -> Endpoint {
        // SAFETY: valid context, see `new`. The word is in network byte order, the port its last two bytes.
        let port = unsafe { addr_of!((*self.context).remote_port).read_volatile() };
        let port_be = (u32::from_be(port) as u16).to_be();
        // SAFETY: valid context, see `new`.
        let v4_be = unsafe { addr_of!((*self.context).remote_ip4).read_volatile() };
        let mut words_be = [0; 4];
        // SAFETY: valid context, see `new`.
        words_be[0] = unsafe { addr_of!((*self.context).remote_ip6[0]).read_volatile() };
        // SAFETY: as above.
        words_be[1] = unsafe { addr_of!((*self.context).remote_ip6[1]).read_volatile() };
        // SAFETY: as above.
        words_be[2] = unsafe { addr_of!((*self.context).remote_ip6[2]).read_volatile() };
        // SAFETY: as above.
        words_be[3] = unsafe { addr_of!((*self.context).remote_ip6[3]).read_volatile() };
        Endpoint { address: self.address(v4_be, words_be), port_be }
    }

    /// The one of two addresses that the socket's family means. Both are read before this: LLVM would merge the
    /// loads of two branches into one at a computed offset, which the verifier refuses.
    #[inline(always)]
    fn address(&self, v4_be: u32, words_be: [u32; 4]) -> Address {
        if self.is_v4() { Address::from_v4_be(v4_be) } else { Address { words_be } }
    }

    #[inline(always)]
    fn is_v4(&self) -> bool {
        // SAFETY: valid context, see `new`.
        let family = unsafe { addr_of!((*self.context).family).read_volatile() };
        family == AF_INET
    }
}

/// `AF_INET`.
const AF_INET: u32 = 2;
