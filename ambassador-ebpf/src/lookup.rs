// SPDX-License-Identifier: Apache-2.0
//! The maps that `connect()`, `sock_ops` and the filter look into, with keys made of whole machine words.
//!
//! To a loader without `CAP_PERFMON` the verifier of 6.1 refuses a store of less than a word over one that it has kept
//! track of ("attempt to corrupt spilled pointer on stack"), and in which order LLVM writes the fields of a struct is
//! its own affair. So a key is never a struct on the stack: its words are computed in registers, and each is stored
//! whole, volatile, so that LLVM does not split it.

use core::{ffi::c_void, mem::MaybeUninit, ptr::from_ref};

use aya_ebpf::helpers::generated::{bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem};

/// The value of a key, null when it has none.
///
/// `M` is the map, `V` its type of values, and the key as long as `words`, or shorter: an index is a word's first half.
#[inline(always)]
pub(crate) fn get<M, V, const N: usize>(map: &'static M, words: [u64; N]) -> *mut V {
    let key = Key::new(words);
    // SAFETY: the map is one, and its keys are no longer than this one.
    unsafe { bpf_map_lookup_elem(pointer(map), key.pointer()) }.cast()
}

/// Sets the value of a key; false when the flags forbid it or there is no room.
#[inline(always)]
pub(crate) fn set<M, V, const N: usize>(map: &'static M, words: [u64; N], value: &V, flags: u32) -> bool {
    let key = Key::new(words);
    // SAFETY: as above, and the value is of the map's type.
    let result = unsafe {
        bpf_map_update_elem(pointer(map), key.pointer(), from_ref(value).cast_mut().cast(), flags.into())
    };
    result == 0
}

/// Removes a key; whether it was there.
#[inline(always)]
pub(crate) fn remove<M, const N: usize>(map: &'static M, words: [u64; N]) -> bool {
    let key = Key::new(words);
    // SAFETY: as in `get`.
    unsafe { bpf_map_delete_elem(pointer(map), key.pointer()) == 0 }
}

struct Key<const N: usize> {
    words: MaybeUninit<[u64; N]>,
}

impl<const N: usize> Key<N> {
    #[inline(always)]
    fn new(words: [u64; N]) -> Self {
        let mut key = Self { words: MaybeUninit::uninit() };
        let first = key.words.as_mut_ptr().cast::<u64>();
        for (at, word) in words.into_iter().enumerate() {
            // SAFETY: there are as many words of room.
            unsafe { first.add(at).write_volatile(word) };
        }
        key
    }

    #[inline(always)]
    fn pointer(&self) -> *mut c_void {
        self.words.as_ptr().cast_mut().cast()
    }
}

#[inline(always)]
fn pointer<M>(map: &'static M) -> *mut c_void {
    from_ref(map).cast_mut().cast()
}
