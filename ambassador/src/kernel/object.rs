// SPDX-License-Identifier: Apache-2.0
//! The compiled kernel programs, embedded in the binary.
//!
//! `build.rs` has checked that they belong to the sources beside them.

/// The ELF object, aligned as its parser needs it.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!("../../../ambassador-ebpf/prebuilt/ambassador.o");
