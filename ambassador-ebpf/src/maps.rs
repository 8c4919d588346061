// SPDX-License-Identifier: Apache-2.0
//! The maps, and the globals that the loader sets.
//!
//! User space finds each of them by the name of its static.

use ambassador_ebpf::{
    address::Address,
    counter::Counter,
    event::HeldEvent,
    flow::{Flow, MAX_FLOWS},
    known::{GOOD_PLACES, GoodPlace, Known},
    landing::{Endpoint, Landing},
    listener::{Listener, MAX_RINGS},
    refusal::Refusal,
    settings::Setting,
    target::{ANY_PORT, Target, TargetKey},
    tuple::Tuple,
    verdict::VERDICT_WORDS as WORDS,
};
use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{ArrayOfMaps, RingBuf, SkStorage},
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
};

use crate::lookup;

/// One ring of events. The size is that of no ring that is ever written to.
pub(crate) type Ring = RingBuf<HeldEvent, 65_536>;

/// Whether the kernel has `bpf_set_retval` for connect hooks; when it is 0 the verifier drops the call.
#[unsafe(no_mangle)]
static HAS_RETVAL: Global<u8> = Global::new(0);

/// Whether connect hooks may call `bpf_get_current_comm`; when it is 0 the verifier drops the call.
#[unsafe(no_mangle)]
static HAS_COMM: Global<u8> = Global::new(0);

/// Client socket → where it wanted to go.
#[btf_map]
pub(crate) static ORIG_SK: SkStorage<Flow> = SkStorage::new();
/// Accepted socket → where its client wanted to go; read by the proxy by fd.
#[btf_map]
pub(crate) static ACC_SK: SkStorage<Flow> = SkStorage::new();
/// Sockets of the proxy, marked by fd before they connect: see [`ambassador_ebpf::mark`]. It cannot be spoofed
/// and frees itself.
#[btf_map]
pub(crate) static BYPASS_SK: SkStorage<u64> = SkStorage::new();
/// Redirected connections by tuple, from connect to close.
#[map]
pub(crate) static FLOW: HashMap<Tuple, Flow> = HashMap::with_max_entries(MAX_FLOWS, BPF_F_NO_PREALLOC);
/// Redirected connections that found no room in `FLOW`.
#[map]
pub(crate) static LOST: LruHashMap<Tuple, u64> = LruHashMap::with_max_entries(256, 0);
/// How many entries `FLOW` has: the kernel does not tell.
#[map]
pub(crate) static OPEN: Array<u64> = Array::with_max_entries(1, 0);
/// Cookie of a held client's socket → 1 when it is admitted. By cookie, so that a late verdict cannot meet another
/// connection of the same addresses.
#[map]
pub(crate) static VERDICT: HashMap<u64, u32> = HashMap::with_max_entries(MAX_FLOWS, BPF_F_NO_PREALLOC);
/// Verdicts that the SYN follows at once; see [`ambassador_ebpf::verdict`]. Memory of user space as well.
#[map]
pub(crate) static VERDICT_WORDS: Array<u64> = Array::with_max_entries(WORDS, BPF_F_MMAPABLE);
/// Which rings are looked into by themselves, 1, so that nobody needs to be woken. Memory of user space as well.
#[map]
pub(crate) static AWAKE: Array<u64> = Array::with_max_entries(MAX_RINGS, BPF_F_MMAPABLE);
/// Cookie of a filtered listener → what its filter needs to know.
#[map]
pub(crate) static LISTENER: HashMap<u64, Listener> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// Destinations that accepted a moment ago, and when that is no longer news. Memory of user space as well.
#[map]
static GOOD: Array<GoodPlace> = Array::with_max_entries(GOOD_PLACES, BPF_F_MMAPABLE);
/// Destinations → the address from which they are reached, as user space has found out.
#[map]
static SOURCE: LruHashMap<Known, Address> = LruHashMap::with_max_entries(8192, 0);
/// What user space is told, in a ring for each thread that reads: user space puts them here, of the size that it
/// wants; see [`ambassador_ebpf::event`]. A ring as the element of an array: Linux 5.8.
#[btf_map]
pub(crate) static EVENTS: ArrayOfMaps<Ring, { MAX_RINGS as usize }> = ArrayOfMaps::new();
/// Network namespace cookie → its listeners.
#[map]
pub(crate) static NS: HashMap<u64, Landing> = HashMap::with_max_entries(1024, 0);
/// Networks and ports that are refused.
#[map]
static DENY: LpmTrie<Target, Refusal> = LpmTrie::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// Networks and ports that are left alone.
#[map]
static EXCLUDE: LpmTrie<Target, u32> = LpmTrie::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// Networks and ports whose connections are let in before the destination has answered.
#[map]
static EAGER: LpmTrie<Target, u32> = LpmTrie::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// See [`Setting`].
#[map]
static CFG: Array<u64> = Array::with_max_entries(Setting::COUNT, 0);
/// See [`Counter`].
#[map]
pub(crate) static STATS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// The value of a setting.
#[inline(always)]
pub(crate) fn setting(setting: Setting) -> u64 {
    word(lookup::get(&CFG, [setting as u64]))
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
    let mut found: *mut Refusal = lookup::get(&DENY, best(destination, destination.port_be));
    if found.is_null() {
        found = lookup::get(&DENY, best(destination, ANY_PORT));
    }
    // SAFETY: the pointer comes from a lookup; an entry is replaced whole by user space.
    unsafe { found.as_ref() }.copied()
}

/// Whether a destination is excluded, on its port or on every port.
#[inline(always)]
pub(crate) fn is_excluded(destination: &Endpoint) -> bool {
    is_in(&EXCLUDE, destination)
}

/// Whether connections to a destination are let in before it has answered.
#[inline(always)]
pub(crate) fn is_eager(destination: &Endpoint) -> bool {
    is_in(&EAGER, destination)
}

/// Until when a destination is known to accept; 0 when it is not known.
#[inline(always)]
pub(crate) fn good_until_ns(netns_cookie: u64, destination: &Endpoint) -> u64 {
    let known = Known::new(netns_cookie, destination);
    let place: *mut GoodPlace = lookup::get(&GOOD, [known.place().into()]);
    if place.is_null() {
        return 0;
    }
    // SAFETY: the pointer comes from a lookup, and the index is within a place; user space writes it at any time.
    let word = |index: usize| unsafe { place.cast::<u64>().add(index).read_volatile() };
    let until_ns = word(0);
    if until_ns == 0 {
        return 0;
    }
    keep_order();
    let [netns_cookie, first, second, port] = known.words();
    if word(1) != netns_cookie || word(2) != first || word(3) != second || word(4) != port {
        return 0;
    }
    keep_order();
    // Where it changes meanwhile, it is nobody's.
    if word(0) == until_ns { until_ns } else { 0 }
}

/// Lets no read behind it happen before one in front of it. Processors other than x86's would, and the programs have no
/// fence; but an atomic operation that returns what it found is one (Documentation/bpf/standardization), whatever it is
/// on: here, on a word that nobody else sees.
#[inline(always)]
fn keep_order() {
    let mut word = 0_u64;
    // SAFETY: the pointer is that of an aligned word of the stack.
    unsafe {
        core::arch::asm!(
            "{nothing} = atomic_fetch_add((u64 *)({word} + 0), {nothing})",
            word = in(reg) &raw mut word,
            nothing = inout(reg) 0_u64 => _,
        );
    }
}

/// The address from which a destination is reached, if that is known.
#[inline(always)]
pub(crate) fn source_of(netns_cookie: u64, destination: Address) -> Option<Address> {
    let found: *mut Address = lookup::get(&SOURCE, Known::host(netns_cookie, destination).words());
    // SAFETY: the pointer comes from a lookup; a reused entry is another destination's source, off by a moment.
    unsafe { found.as_ref() }.copied()
}

/// Whether a destination is named, on its port or on every port.
#[inline(always)]
fn is_in(map: &'static LpmTrie<Target, u32>, destination: &Endpoint) -> bool {
    let find = |port_be| lookup::get::<_, u32, 3>(map, best(destination, port_be));
    !find(destination.port_be).is_null() || !find(ANY_PORT).is_null()
}

/// The key that finds the best rule for a destination.
#[inline(always)]
fn best(destination: &Endpoint, port_be: u16) -> [u64; 3] {
    TargetKey::of(destination, port_be).words()
}

/// A value of one word; 0 when there is none.
#[inline(always)]
fn word(value: *mut u64) -> u64 {
    // SAFETY: the pointer comes from a lookup, and a word is read at once.
    if value.is_null() { 0 } else { unsafe { value.read() } }
}
