// SPDX-License-Identifier: Apache-2.0
//! The maps, and the globals that the loader sets.
//!
//! User space finds each of them by the name of its static.

use ambassador_ebpf::{
    counter::Counter,
    landing::{Endpoint, Landing},
    origin::Origin,
    refusal::Refusal,
    settings::Setting,
    target::{ANY_PORT, Target, TargetKey},
    tuple::{MAX_TUPLES, Tuple},
};
use aya_ebpf::{
    Global,
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, PerCpuArray, lpm_trie::Key},
};

/// Whether the kernel has `bpf_set_retval` for connect hooks; when it is 0 the verifier drops the call.
#[unsafe(no_mangle)]
static HAS_RETVAL: Global<u8> = Global::new(0);

/// Whether connect hooks may call `bpf_get_current_comm`; when it is 0 the verifier drops the call.
#[unsafe(no_mangle)]
static HAS_COMM: Global<u8> = Global::new(0);

/// Client socket → where it wanted to go.
#[btf_map]
pub(crate) static ORIG_SK: SkStorage<Origin> = SkStorage::new();
/// Accepted socket → where its client wanted to go; read by the proxy by fd.
#[btf_map]
pub(crate) static ACC_SK: SkStorage<Origin> = SkStorage::new();
/// Sockets of the proxy, marked by fd before they connect. It cannot be spoofed and frees itself.
#[btf_map]
pub(crate) static BYPASS_SK: SkStorage<u64> = SkStorage::new();
/// Redirected connections by tuple, from connect to close.
#[map]
pub(crate) static TUP: HashMap<Tuple, Origin> = HashMap::with_max_entries(MAX_TUPLES, BPF_F_NO_PREALLOC);
/// Network namespace cookie → its listeners.
#[map]
pub(crate) static NS: HashMap<u64, Landing> = HashMap::with_max_entries(1024, 0);
/// Networks and ports that are refused.
#[map]
static DENY: LpmTrie<Target, Refusal> = LpmTrie::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// Networks and ports that are left alone.
#[map]
static EXCLUDE: LpmTrie<Target, u32> = LpmTrie::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// See [`Setting`].
#[map]
static CFG: Array<u64> = Array::with_max_entries(Setting::COUNT, 0);
/// See [`Counter`].
#[map]
pub(crate) static STATS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// The value of a setting.
#[inline(always)]
pub(crate) fn setting(setting: Setting) -> u64 {
    CFG.get(setting as u32).copied().unwrap_or(0)
}

/// Whether an errno can be returned from connect hooks.
#[inline(always)]
pub(crate) fn has_retval() -> bool {
    HAS_RETVAL.load() != 0
}

/// Whether the caller's name can be asked for.
#[inline(always)]
pub(crate) fn has_comm() -> bool {
    HAS_COMM.load() != 0
}

/// The refusal for a destination: a rule that names the port comes before one that does not.
#[inline(always)]
pub(crate) fn refusal(destination: &Endpoint) -> Option<Refusal> {
    let with_port = DENY.get(full_key(destination, destination.port_be));
    with_port.or_else(|| DENY.get(full_key(destination, ANY_PORT))).copied()
}

/// Whether a destination is excluded, on its port or on every port.
#[inline(always)]
pub(crate) fn is_excluded(destination: &Endpoint) -> bool {
    EXCLUDE.get(full_key(destination, destination.port_be)).is_some()
        || EXCLUDE.get(full_key(destination, ANY_PORT)).is_some()
}

#[inline(always)]
fn full_key(destination: &Endpoint, port_be: u16) -> Key<Target> {
    Key::new(TargetKey::BITS, Target::of(destination, port_be))
}
