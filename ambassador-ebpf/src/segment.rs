// SPDX-License-Identifier: Apache-2.0
//! A TCP segment as the filter of its socket sees it: the data begins at the TCP header, the IP header lies before it.

use core::mem::MaybeUninit;

use ambassador_ebpf::{address::Address, event::SYN_BYTES, landing::Endpoint, plain::Plain, tuple::Tuple};
use aya_ebpf::{
    helpers::{bpf_get_socket_cookie, generated::bpf_skb_load_bytes_relative},
    programs::SkBuffContext,
};

/// The context of `lfilter`.
pub(crate) struct Segment<'a> {
    ctx: &'a SkBuffContext,
}

impl<'a> Segment<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a SkBuffContext) -> Self {
        Self { ctx }
    }

    /// Whether it opens a connection.
    #[inline(always)]
    pub(crate) fn is_syn(&self) -> bool {
        self.ctx.load::<u8>(TCP_FLAGS).is_ok_and(|flags| flags & (SYN | ACK) == SYN)
    }

    /// The sequence number, in host byte order.
    #[inline(always)]
    pub(crate) fn sequence(&self) -> u32 {
        self.ctx.load(TCP_SEQUENCE).map_or(0, u32::from_be)
    }

    /// Cookie of the socket whose filter runs.
    #[inline(always)]
    pub(crate) fn socket_cookie(&self) -> u64 {
        // SAFETY: the helper only reads the context.
        unsafe { bpf_get_socket_cookie(self.ctx.skb.skb.cast()) }
    }

    /// The name of the connection; `None` when the headers are not understood.
    #[inline(always)]
    pub(crate) fn tuple(&self, netns_cookie: u64) -> Option<Tuple> {
        let client_port_be = self.ctx.load(0).ok()?;
        let listener_port_be = self.ctx.load(2).ok()?;
        let (client, listener) = if self.ip_version()? == 4 {
            let client = Address::from_v4_be(self.load_ip(12)?);
            (client, Address::from_v4_be(self.load_ip(16)?))
        } else {
            (self.load_ip(8)?, self.load_ip(24)?)
        };
        let client = Endpoint { address: client, port_be: client_port_be };
        let listener = Endpoint { address: listener, port_be: listener_port_be };
        // The TCP header has to follow the IP header, or its length is not known.
        self.ip_header_len()?;
        Some(Tuple::new(netns_cookie, &client, &listener))
    }

    /// Copies the IP and TCP headers; how many bytes they are.
    #[inline(always)]
    pub(crate) fn copy_headers(&self, room: &mut [u8; SYN_BYTES]) -> Option<u32> {
        let tcp_len = u64::from(self.ctx.load::<u8>(TCP_DATA_OFFSET).ok()? >> 4) * 4;
        let mut len = self.ip_header_len()? + tcp_len - 1;
        // Real instructions, which LLVM cannot move away from the use: the verifier has to see a length within
        // [1, 128] in this very register. The headers are at most 120 bytes.
        // SAFETY: changes nothing but the register.
        unsafe { core::arch::asm!("{0} &= 127", "{0} += 1", inout(reg) len) };
        let to = room.as_mut_ptr().cast();
        // SAFETY: the room is at least `len` bytes.
        let result = unsafe {
            bpf_skb_load_bytes_relative(self.ctx.skb.skb.cast(), 0, to, len as u32, FROM_IP_HEADER)
        };
        (result == 0).then_some(len as u32)
    }

    #[inline(always)]
    fn ip_version(&self) -> Option<u8> {
        self.load_ip::<u8>(0).map(|byte| byte >> 4)
    }

    #[inline(always)]
    fn ip_header_len(&self) -> Option<u64> {
        let first: u8 = self.load_ip(0)?;
        if first >> 4 == 4 {
            return Some(u64::from(first & 15) * 4);
        }
        let next_header: u8 = self.load_ip(6)?;
        (next_header == IPPROTO_TCP).then_some(IPV6_HEADER_LEN)
    }

    /// A value at an offset from the IP header. Not cleared before: that would be a call.
    #[inline(always)]
    fn load_ip<T: Plain>(&self, offset: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        let (skb, to, len) = (self.ctx.skb.skb.cast(), value.as_mut_ptr().cast(), size_of::<T>() as u32);
        // SAFETY: the value is as large as the length says.
        let result = unsafe { bpf_skb_load_bytes_relative(skb, offset, to, len, FROM_IP_HEADER) };
        // SAFETY: the helper has written all of it, and every bit pattern is valid for a `Plain`.
        (result == 0).then(|| unsafe { value.assume_init() })
    }
}

/// Offset of the flags in a TCP header.
const TCP_FLAGS: usize = 13;
/// Offset of the sequence number in a TCP header.
const TCP_SEQUENCE: usize = 4;
/// Offset of the header's length (upper half, in words) in a TCP header.
const TCP_DATA_OFFSET: usize = 12;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// `IPPROTO_TCP`.
const IPPROTO_TCP: u8 = 6;
const IPV6_HEADER_LEN: u64 = 40;
/// `BPF_HDR_START_NET`.
const FROM_IP_HEADER: u32 = 1;
