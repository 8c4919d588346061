// SPDX-License-Identifier: Apache-2.0
//! The marker of types whose bytes may be copied between user space and a BPF map.
//!
//! It exists so that user space can move map keys and values through one generic, checked function without this
//! crate depending on the loader.

/// A type that is nothing but its bytes: every bit pattern is a value, and no byte is padding.
///
/// # Safety
/// The implementor is `repr(C)` or a primitive integer, consists of integers and arrays of integers only, and has
/// no implicit padding (each module asserts the size of its type).
pub unsafe trait Plain: Copy + 'static {}

/// The value whose bytes `bytes` begins with; `None` when they are too few. Alignment does not matter.
pub fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: there are as many bytes as `T` has, and every bit pattern is valid for a `Plain`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The word that lies in memory as `first` and then `second`; the kernel object is little-endian only.
#[inline(always)]
pub(crate) const fn word(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

/// As [`word`], of halves of half a word.
#[inline(always)]
pub(crate) const fn half_word(first: u16, second: u16) -> u32 {
    first as u32 | (second as u32) << 16
}

// SAFETY: a primitive integer has no padding and no invalid value.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
