// SPDX-License-Identifier: Apache-2.0
//! Values that live and die with a socket.
//!
//! aya's own methods take the socket out of one kind of context, and again at each call, which LLVM turns into a
//! context pointer with an offset that the verifier refuses; here the socket is given.

use core::ptr::{from_mut, from_ref, null_mut};

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
};

/// The value of a socket, null when it has none.
#[inline(always)]
pub(crate) fn get<T>(map: &'static SkStorage<T>, socket: *mut bpf_sock) -> *mut T {
    // SAFETY: the contexts give only sockets that are valid while the program runs; nothing is created.
    unsafe { bpf_sk_storage_get(pointer(map), socket.cast(), null_mut(), 0) }.cast()
}

/// The value of a socket, made from `initial` when it had none; null when there is no memory.
#[inline(always)]
pub(crate) fn get_or_insert<T>(
    map: &'static SkStorage<T>,
    socket: *mut bpf_sock,
    initial: Option<&mut T>,
) -> *mut T {
    let initial = initial.map_or(null_mut(), from_mut);
    // SAFETY: as in `get`; the initial value is null (all zero) or of the map's type.
    unsafe {
        bpf_sk_storage_get(pointer(map), socket.cast(), initial.cast(), BPF_SK_STORAGE_GET_F_CREATE.into())
    }
    .cast()
}

/// Removes the value of a socket, if it has one.
#[inline(always)]
pub(crate) fn delete<T>(map: &'static SkStorage<T>, socket: *mut bpf_sock) {
    // SAFETY: as in `get`.
    let _ = unsafe { bpf_sk_storage_delete(pointer(map), socket.cast()) };
}

#[inline(always)]
fn pointer<T>(map: &'static SkStorage<T>) -> *mut core::ffi::c_void {
    from_ref(map).cast_mut().cast()
}
