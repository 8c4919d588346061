// SPDX-License-Identifier: Apache-2.0
//! `lfilter`: the filter of a listener, which holds the SYN of a connection until its destination has answered.
//!
//! What a filter drops, TCP drops in silence: the client stays in `SYN_SENT` and its own timer runs, as towards a
//! destination that has not answered yet. User space answers later, with the client's own SYN or with an error. A SYN
//! that nobody redirected here is told too, so that it can be refused as by a closed port.
//! The filter sees every segment to the listener, and those to accepted sockets until it is taken off them.

use ambassador_ebpf::{
    counter::Counter,
    flow::{Fate, fate},
};
use aya_ebpf::{macros::socket_filter, programs::SkBuffContext};

use crate::{counters::count, events, flows, maps::LISTENER, segment::Segment, verdicts};

/// On every listener of a namespace that holds SYNs.
#[socket_filter]
fn lfilter(ctx: SkBuffContext) -> i64 {
    let segment = Segment::new(&ctx);
    if !segment.is_syn() {
        return ACCEPT;
    }
    // SAFETY: the value never changes.
    let Some(listener) = (unsafe { LISTENER.get(segment.socket_cookie()) }) else { return ACCEPT };
    let Some(key) = segment.tuple(listener.netns_cookie) else {
        count(Counter::SynUnreadable);
        return ACCEPT;
    };
    let flow = flows::find(&key);
    match fate(flow.as_deref(), segment.sequence(), verdicts::is_given) {
        Fate::Admit => ACCEPT,
        Fate::Hold => DROP,
        Fate::Tell => {
            if let Some(flow) = flow {
                // First: a client that gives up meanwhile must be seen to have been told of.
                flow.told = listener.ring as u8 + 1;
                if events::held(listener.ring, &segment, &key, flow) {
                    count(Counter::SynHeld);
                } else {
                    flow.told = 0;
                }
            }
            DROP
        }
        Fate::NoFlow => {
            count(Counter::SynNoFlow);
            if !flows::is_lost(&key) {
                events::stray(listener.ring, &segment, &key);
            }
            DROP
        }
        Fate::WrongIsn => {
            count(Counter::SynWrongIsn);
            DROP
        }
    }
}

/// All of the segment.
const ACCEPT: i64 = -1;
/// Nothing of it.
const DROP: i64 = 0;
