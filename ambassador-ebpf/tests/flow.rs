// SPDX-License-Identifier: Apache-2.0
//! What becomes of a SYN, case by case, and what holds for every case.

use std::cell::Cell;

use ambassador_ebpf::{
    admission::Admission,
    flow::{Fate, Flow, fate},
    origin::Origin,
    verdict::Ticket,
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

const ISN: u32 = 0xfeed_0001;
const COOKIE: u64 = 77;

fn held() -> Flow {
    let origin = Origin { socket_cookie: COOKIE, ..Origin::default() };
    Flow { origin, isn: ISN, has_isn: 1, admission: Admission::Held as u8, told: 0, delivered: 0 }
}

fn with(admission: Admission) -> Flow {
    Flow { admission: admission as u8, ..held() }
}

#[test]
fn every_fate_follows_from_its_fact() {
    let told = Flow { told: 1, ..held() };
    let unfiltered = Flow { has_isn: 0, ..with(Admission::Unfiltered) };
    for (what, flow, sequence, admitted, want) in [
        ("nobody connects from there", None, ISN, true, Fate::NoFlow),
        ("first SYN", Some(held()), ISN, false, Fate::Tell),
        ("repeated SYN", Some(told), ISN, false, Fate::Hold),
        ("admitted", Some(told), ISN, true, Fate::Admit),
        ("an earlier connection's SYN", Some(told), ISN - 1, false, Fate::WrongIsn),
        ("an earlier connection's SYN, admitted", Some(told), ISN + 1, true, Fate::WrongIsn),
        ("a SYN before the client's own", Some(Flow { has_isn: 0, ..held() }), ISN, true, Fate::WrongIsn),
        ("a SYN of 0", Some(Flow { isn: 0, ..held() }), 0, false, Fate::Tell),
        ("shortcut", Some(with(Admission::Shortcut)), ISN, false, Fate::Admit),
        ("eager", Some(with(Admission::Eager)), ISN, false, Fate::Admit),
        ("eager, an earlier one's", Some(with(Admission::Eager)), ISN + 1, false, Fate::WrongIsn),
        ("connected before the filter was in use", Some(unfiltered), ISN, false, Fate::Admit),
    ] {
        assert_eq!(fate(flow.as_ref(), sequence, |_| admitted), want, "{what}");
    }
}

#[test]
fn a_handshake_is_that_of_the_connection_whose_syn_began_it() {
    assert!(held().is_of(ISN));
    assert!(!held().is_of(ISN - 1), "of one that had the port before");
    let unknown = Flow { has_isn: 0, ..with(Admission::Unfiltered) };
    assert!(unknown.is_of(ISN), "where SYNs are not held nobody notes it");
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let state = (0_u8..2, any::<u8>(), 0_u8..2);
    (any::<u32>(), state, any::<u64>()).prop_map(|(isn, (has_isn, admission, told), socket_cookie)| {
        let origin = Origin { socket_cookie, ..Origin::default() };
        Flow { origin, isn, has_isn, admission, told, delivered: 0 }
    })
}

proptest! {
    #[test]
    fn the_verdict_is_asked_for_by_the_ticket_of_the_flow_and_only_when_it_matters(flow in any_flow()) {
        let asked = Cell::new(None);
        fate(Some(&flow), flow.isn, |ticket| {
            asked.set(Some(ticket));
            false
        });
        let held = flow.has_isn == 1 && flow.admission == Admission::Held as u8;
        prop_assert_eq!(asked.get(), held.then_some(Ticket { socket_cookie: flow.origin.socket_cookie, isn: flow.isn }));
    }

    #[test]
    fn a_held_syn_gets_in_only_by_verdict_and_user_space_is_told_once(flow in any_flow(), admitted: bool) {
        let flow = Flow { admission: Admission::Held as u8, has_isn: 1, ..flow };
        let fate = fate(Some(&flow), flow.isn, |_| admitted);
        prop_assert_eq!(fate == Fate::Admit, admitted);
        prop_assert_eq!(fate == Fate::Tell, !admitted && flow.told == 0);
    }

    #[test]
    fn a_foreign_sequence_number_never_gets_in(flow in any_flow(), sequence: u32, admitted: bool) {
        let filtered = flow.admission != Admission::Unfiltered as u8;
        if filtered && (sequence != flow.isn || flow.has_isn == 0) {
            prop_assert!(fate(Some(&flow), sequence, |_| admitted) == Fate::WrongIsn);
        }
    }
}
