// SPDX-License-Identifier: Apache-2.0
//! Telling user space.
//!
//! A record is reserved, written and submitted in one go: the verifier of 6.1 loses sight of one that is kept over
//! another decision.

use core::{
    mem::MaybeUninit,
    ptr::{addr_of_mut, from_ref},
};

use ambassador_ebpf::{
    address::Address,
    counter::Counter,
    event::{CLOSED, Event, HELD, HeldEvent, STRAY},
    flow::Flow,
    origin::Origin,
    tuple::Tuple,
};
use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    maps::ring_buf::RingBufEntry,
};

use crate::{
    counters::count,
    lookup,
    maps::{AWAKE, EVENTS, Ring},
    segment::Segment,
};

/// A client gave up before its connection came to a listener. `told` is that of a [`Flow`].
#[inline(always)]
pub(crate) fn closed(told: u8, key: &Tuple, flow: &Flow, admitted: u32) {
    let ring = u32::from(told).wrapping_sub(1);
    let Some(mut room) = reserve::<Event>(ring) else { return };
    fill(&mut room, CLOSED, key, flow, admitted);
    submit(ring, room);
}

/// A SYN is held; false when user space could not be told.
#[inline(always)]
pub(crate) fn held(ring: u32, segment: &Segment<'_>, key: &Tuple, flow: &Flow) -> bool {
    with_syn(ring, segment, HELD, key, flow)
}

/// A SYN came to a listener from where nobody was redirected. The ring buffer bounds how many of them are told.
#[inline(always)]
pub(crate) fn stray(ring: u32, segment: &Segment<'_>, key: &Tuple) {
    with_syn(ring, segment, STRAY, key, &NOBODY);
}

#[inline(always)]
fn with_syn(ring: u32, segment: &Segment<'_>, kind: u32, key: &Tuple, flow: &Flow) -> bool {
    let Some(mut room) = reserve::<HeldEvent>(ring) else { return false };
    let record = room.as_mut_ptr();
    // SAFETY: the record is reserved for us and as large as the type.
    let copied = segment.copy_headers(unsafe { &mut *addr_of_mut!((*record).syn).cast() });
    let Some(length) = copied else {
        room.discard(0);
        return false;
    };
    // SAFETY: as above; the two types have the same layout when nothing of it is initialised.
    let event = unsafe { &mut *addr_of_mut!((*record).event).cast::<MaybeUninit<Event>>() };
    fill(event, kind, key, flow, 0);
    // SAFETY: as above.
    unsafe { addr_of_mut!((*record).event.syn_len).write(length) };
    submit(ring, room);
    true
}

/// Hands a record over. Who looks into the ring by itself is not woken, which costs an interrupt; it says that it no
/// longer does before it looks for the last time, so one of the two sees the other.
#[inline(always)]
fn submit<T>(ring: u32, room: RingBufEntry<T>) {
    if !is_awake(ring) {
        room.submit(0);
        return;
    }
    room.submit(BPF_RB_NO_WAKEUP.into());
    if !is_awake(ring)
        && let Some(nothing) = reserve::<u64>(ring)
    {
        nothing.discard(BPF_RB_FORCE_WAKEUP.into());
    }
}

#[inline(always)]
fn is_awake(ring: u32) -> bool {
    let awake: *mut u64 = lookup::get(&AWAKE, [ring.into()]);
    // SAFETY: the pointer comes from a lookup and is that of an aligned word; user space writes it at any time.
    !awake.is_null() && unsafe { awake.read_volatile() } != 0
}

#[inline(always)]
fn reserve<T>(ring: u32) -> Option<RingBufEntry<T>> {
    let ring: *mut Ring = lookup::get(&EVENTS, [ring.into()]);
    // SAFETY: a non-null result is the map itself, which lives as long as the program runs.
    let room = unsafe { ring.as_ref() }.and_then(|ring| ring.reserve_untyped(0));
    if room.is_none() {
        count(Counter::EventLost);
    }
    room
}

/// Written field by field: a whole event would need a stack frame of its own.
#[inline(always)]
fn fill(room: &mut MaybeUninit<Event>, kind: u32, key: &Tuple, flow: &Flow, admitted: u32) {
    let event = room.as_mut_ptr();
    // SAFETY: the record is reserved for us and as large as the type.
    unsafe { addr_of_mut!((*event).kind).write(kind) };
    // SAFETY: as above.
    unsafe { addr_of_mut!((*event).isn).write(flow.isn) };
    // SAFETY: as above.
    unsafe { addr_of_mut!((*event).syn_len).write(0) };
    // SAFETY: as above.
    unsafe { addr_of_mut!((*event).admitted).write(admitted) };
    // SAFETY: as above.
    unsafe { addr_of_mut!((*event).tuple).write(*key) };
    // SAFETY: as above.
    let to = unsafe { addr_of_mut!((*event).origin) };
    copy(&flow.origin, to);
}

/// Copies an origin word by word, volatile, because LLVM would make it a call.
#[inline(always)]
fn copy(from: &Origin, to: *mut Origin) {
    const WORDS: usize = size_of::<Origin>() / size_of::<u64>();
    const { assert!(size_of::<Origin>() == WORDS * size_of::<u64>() && align_of::<Origin>() == 8) }
    let (from, to) = (from_ref(from).cast::<u64>(), to.cast::<u64>());
    for word in 0..WORDS {
        // SAFETY: both are origins, which are whole words without padding.
        unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
    }
}

/// The connection of a stray SYN: none.
static NOBODY: Flow = Flow {
    origin: Origin {
        address: Address { words_be: [0; 4] },
        netns_cookie: 0,
        socket_cookie: 0,
        cgroup_id: 0,
        pid: 0,
        uid: 0,
        comm: [0; 16],
        port_be: 0,
        bound: 0,
        padding: [0; 5],
    },
    isn: 0,
    has_isn: 0,
    admission: 0,
    told: 0,
    delivered: 0,
};
