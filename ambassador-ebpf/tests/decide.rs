// SPDX-License-Identifier: Apache-2.0
//! The decision, case by case, and what holds for every case.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr},
};

use ambassador_ebpf::{
    admission::Admission,
    decide::{Facts, Reason, Verdict, decide},
    landing::{Endpoint, Landing},
    refusal::Refusal,
    settings::Heartbeat,
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

const NOW: u64 = 1_000_000;
const LIMIT: u64 = 1_000;

/// The answers to every question, and which of them were asked.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "one answer per question")]
struct Case {
    tcp: bool,
    destination: &'static str,
    any_destination: Option<Endpoint>,
    include_loopback: bool,
    marked: bool,
    excluded: bool,
    refusal: Option<Refusal>,
    beat_ns: u64,
    interface: u32,
    landing: Option<Landing>,
    room: bool,
    eager: bool,
    good_until_ns: u64,
    asked: RefCell<Vec<&'static str>>,
}

impl Default for Case {
    /// A connection that is redirected.
    fn default() -> Self {
        Self {
            tcp: true,
            destination: "10.0.0.1:80",
            any_destination: None,
            include_loopback: false,
            marked: false,
            excluded: false,
            refusal: None,
            beat_ns: NOW,
            interface: 0,
            landing: Some(landing()),
            room: true,
            eager: false,
            good_until_ns: 0,
            asked: RefCell::default(),
        }
    }
}

impl Case {
    fn ask<T>(&self, question: &'static str, answer: T) -> T {
        self.asked.borrow_mut().push(question);
        answer
    }
}

impl Facts for Case {
    fn is_tcp(&self) -> bool {
        self.ask("tcp", self.tcp)
    }
    fn destination(&self) -> Endpoint {
        self.any_destination.unwrap_or_else(|| endpoint(self.destination))
    }
    fn intercepts_loopback(&self) -> bool {
        self.ask("flags", self.include_loopback)
    }
    fn is_marked(&self) -> bool {
        self.ask("mark", self.marked)
    }
    fn is_excluded(&self) -> bool {
        self.ask("exclude", self.excluded)
    }
    fn refusal(&self) -> Option<Refusal> {
        self.ask("deny", self.refusal)
    }
    fn now_ns(&self) -> u64 {
        NOW
    }
    fn heartbeat(&self) -> Heartbeat {
        self.ask("beat", Heartbeat { last_ns: self.beat_ns, stale_after_ns: LIMIT })
    }
    fn bound_interface(&self) -> u32 {
        self.ask("interface", self.interface)
    }
    fn landing(&self) -> Option<&Landing> {
        self.ask("landing", self.landing.as_ref())
    }
    fn has_room(&self) -> bool {
        self.ask("room", self.room)
    }
    fn is_eager(&self) -> bool {
        self.ask("eager", self.eager)
    }
    fn good_until_ns(&self) -> u64 {
        self.ask("good", self.good_until_ns)
    }
}

fn landing() -> Landing {
    Landing::new(Ipv4Addr::new(127, 77, 0, 1), 8, 15_001, &[15_002, 15_003])
}

fn endpoint(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().expect("an address");
    Endpoint { address: address.ip().into(), port_be: address.port().to_be() }
}

#[allow(clippy::unnecessary_wraps, reason = "it is the answer to a question")]
fn refusal(until_ns: u64, while_stale: u8) -> Option<Refusal> {
    Some(Refusal { until_ns, errno: 111, while_stale, padding: [0; 5] })
}

fn exception(while_stale: u8) -> Option<Refusal> {
    refusal(0, while_stale).map(|refusal| Refusal { errno: 0, ..refusal })
}

#[test]
fn every_verdict_follows_from_its_fact() {
    let case = Case::default;
    let stale = NOW - LIMIT - 1;
    let redirect = None;
    let pass = |reason| Some(Verdict::Pass(reason));
    for (what, case, want) in [
        ("TCP", case(), redirect),
        ("UDP", Case { tcp: false, ..case() }, pass(Reason::Protocol)),
        ("IPv6", Case { destination: "[fd00::1]:80", ..case() }, redirect),
        ("mapped", Case { destination: "[::ffff:10.0.0.1]:80", ..case() }, redirect),
        ("loopback", Case { destination: "127.0.0.1:80", ..case() }, pass(Reason::Loopback)),
        ("loopback, mapped", Case { destination: "[::ffff:127.9.9.9]:80", ..case() }, pass(Reason::Loopback)),
        ("loopback of IPv6", Case { destination: "[::1]:80", ..case() }, pass(Reason::Loopback)),
        ("unspecified", Case { destination: "0.0.0.0:80", ..case() }, pass(Reason::Loopback)),
        ("unspecified of IPv6", Case { destination: "[::]:80", ..case() }, pass(Reason::Loopback)),
        (
            "loopback, asked for",
            Case { destination: "127.0.0.1:80", include_loopback: true, ..case() },
            redirect,
        ),
        (
            "any ambassador's listener, loopback asked for",
            Case { destination: "127.77.0.200:9", include_loopback: true, ..case() },
            pass(Reason::Listener),
        ),
        (
            "the own IPv6 listener, loopback asked for",
            Case { destination: "[::1]:15003", include_loopback: true, ..case() },
            pass(Reason::Listener),
        ),
        (
            "no listener, loopback asked for",
            Case { destination: "[::1]:15004", include_loopback: true, ..case() },
            redirect,
        ),
        ("marked", Case { marked: true, ..case() }, pass(Reason::Marked)),
        ("marked and refused", Case { marked: true, refusal: refusal(0, 1), ..case() }, pass(Reason::Marked)),
        ("excluded", Case { excluded: true, refusal: refusal(0, 1), ..case() }, pass(Reason::Excluded)),
        ("just fresh", Case { beat_ns: NOW - LIMIT, ..case() }, redirect),
        ("just stale", Case { beat_ns: stale, ..case() }, pass(Reason::Stale)),
        ("a beat of the future", Case { beat_ns: NOW + 5, ..case() }, redirect),
        ("never a beat", Case { beat_ns: 0, ..case() }, pass(Reason::Stale)),
        ("bound to lo", Case { interface: 1, ..case() }, redirect),
        ("bound to eth0", Case { interface: 2, ..case() }, pass(Reason::BoundInterface)),
        ("no listener", Case { landing: None, ..case() }, pass(Reason::Namespace)),
        (
            "no IPv6 listener",
            Case {
                destination: "[fd00::1]:80",
                landing: Some(Landing { v6_count: 0, ..landing() }),
                ..case()
            },
            pass(Reason::Namespace),
        ),
        (
            "no IPv4 listener",
            Case { landing: Some(Landing { v4_count: 0, ..landing() }), ..case() },
            pass(Reason::Namespace),
        ),
        ("the table is full", Case { room: false, ..case() }, pass(Reason::TableFull)),
    ] {
        check(what, &case, want);
    }
}

#[test]
fn a_refusal_holds_when_and_while_it_says() {
    let case = Case::default;
    let stale = NOW - LIMIT - 1;
    let redirect = None;
    let pass = |reason| Some(Verdict::Pass(reason));
    for (what, case, want) in [
        ("refused for ever", Case { refusal: refusal(0, 0), ..case() }, Some(Verdict::Refuse(111))),
        ("refused for now", Case { refusal: refusal(NOW + 1, 0), ..case() }, Some(Verdict::Refuse(111))),
        ("refused until now", Case { refusal: refusal(NOW, 0), ..case() }, redirect),
        (
            "refused, proxy down",
            Case { refusal: refusal(0, 0), beat_ns: stale, ..case() },
            pass(Reason::Stale),
        ),
        (
            "refused also when the proxy is down",
            Case { refusal: refusal(0, 1), beat_ns: stale, ..case() },
            Some(Verdict::Refuse(111)),
        ),
        ("refused only when the proxy is down", Case { refusal: refusal(0, 2), ..case() }, redirect),
        (
            "refused only when the proxy is down, and it is",
            Case { refusal: refusal(0, 2), beat_ns: stale, ..case() },
            Some(Verdict::Refuse(111)),
        ),
        (
            "refused only when the proxy is down, before its first beat",
            Case { refusal: refusal(0, 2), beat_ns: 0, ..case() },
            Some(Verdict::Refuse(111)),
        ),
        (
            "refused only when the proxy is down, until now",
            Case { refusal: refusal(NOW, 2), beat_ns: stale, ..case() },
            pass(Reason::Stale),
        ),
        ("an exception", Case { refusal: exception(1), ..case() }, redirect),
        (
            "an exception, proxy down",
            Case { refusal: exception(2), beat_ns: stale, ..case() },
            pass(Reason::Stale),
        ),
        (
            "refused in a namespace without listener",
            Case { refusal: refusal(0, 0), landing: None, ..case() },
            Some(Verdict::Refuse(111)),
        ),
    ] {
        check(what, &case, want);
    }
}

/// `None` wants a redirect.
fn check(what: &str, case: &Case, want: Option<Verdict>) {
    let verdict = decide(case);
    match want {
        Some(want) => assert_eq!(verdict, want, "{what}"),
        None => assert!(matches!(verdict, Verdict::Redirect { .. }), "{what}: {verdict:?}"),
    }
}

#[test]
fn a_cheap_answer_asks_nothing_dear() {
    let asked = |case: Case| {
        decide(&case);
        case.asked.into_inner()
    };
    assert_eq!(asked(Case { tcp: false, ..Case::default() }), ["tcp"]);
    assert_eq!(asked(Case { destination: "127.77.0.1:80", ..Case::default() }), ["tcp"]);
    assert_eq!(asked(Case { destination: "127.0.0.1:80", ..Case::default() }), ["tcp", "flags"]);
    assert_eq!(asked(Case { marked: true, ..Case::default() }), ["tcp", "mark"]);
    assert_eq!(
        asked(Case::default()),
        ["tcp", "mark", "exclude", "beat", "deny", "interface", "landing", "room"],
        "nothing is asked twice"
    );
    let truthful = || Case { landing: Some(landing().truthful()), ..Case::default() };
    assert_eq!(asked(truthful())[7..], ["room", "eager", "good"]);
    assert_eq!(asked(Case { eager: true, ..truthful() })[7..], ["room", "eager"]);
}

#[test]
fn a_connection_is_held_unless_there_is_a_reason_not_to() {
    let case = || Case { landing: Some(landing().truthful()), ..Case::default() };
    for (what, case, want) in [
        ("nobody can hold it", Case { landing: Some(landing()), ..case() }, Admission::Unfiltered),
        ("unknown destination", case(), Admission::Held),
        ("IPv6", Case { destination: "[fd00::1]:80", ..case() }, Admission::Held),
        ("known to accept", Case { good_until_ns: NOW + 1, ..case() }, Admission::Shortcut),
        ("known until now", Case { good_until_ns: NOW, ..case() }, Admission::Held),
        ("configured", Case { eager: true, ..case() }, Admission::Eager),
        ("configured and known", Case { eager: true, good_until_ns: NOW + 1, ..case() }, Admission::Eager),
    ] {
        let Verdict::Redirect { admission, .. } = decide(&case) else { panic!("{what}: not redirected") };
        assert_eq!(admission, want, "{what}");
    }
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let any_ip = proptest::prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::from([127, b, c, d])),
    ];
    (any_ip, any::<u16>()).prop_map(|(ip, port)| Endpoint { address: ip.into(), port_be: port.to_be() })
}

fn any_landing() -> impl Strategy<Value = Landing> {
    let ports = proptest::collection::vec(1_u16.., 0..=8);
    (1_u8..=254, 0_u8..=64, 1_u16.., ports, 0_u8..2).prop_map(
        |(first, count, v4_port, v6_ports, truthful)| {
            let count = count.min(255 - first);
            let landing = Landing::new(Ipv4Addr::new(127, 77, 0, first), count, v4_port, &v6_ports);
            Landing { truthful, ..landing }
        },
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    let rule = proptest::option::of((0_u64..2 * NOW, 0_u8..2));
    let bools = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let waits = (any::<bool>(), any::<bool>(), 0_u64..2 * NOW);
    let landing = proptest::option::of(any_landing());
    (bools, waits, any_endpoint(), rule, 0_u64..2 * NOW, 0_u32..4, landing).prop_map(
        |(bools, (room, eager, good_until_ns), destination, rule, beat_ns, interface, landing)| Case {
            tcp: bools.0,
            any_destination: Some(destination),
            include_loopback: bools.1,
            marked: bools.2,
            excluded: bools.3,
            refusal: rule.and_then(|(until_ns, while_stale)| refusal(until_ns, while_stale)),
            beat_ns,
            interface,
            landing,
            room,
            eager,
            good_until_ns,
            ..Case::default()
        },
    )
}

proptest! {
    #[test]
    fn a_redirect_goes_to_a_registered_listener_and_never_to_where_it_went(case in any_case()) {
        if let Verdict::Redirect { listener, .. } = decide(&case) {
            let destination = case.destination();
            prop_assert!(case.landing.unwrap().is_listener(&listener));
            prop_assert!(listener != destination);
            prop_assert_eq!(listener.address.family(), destination.address.family());
            prop_assert!(listener.address.is_loopback());
        }
    }

    #[test]
    fn marked_excluded_and_foreign_connections_are_never_touched(case in any_case()) {
        if case.marked || case.excluded || !case.tcp || case.destination().address.is_listener() {
            prop_assert!(matches!(decide(&case), Verdict::Pass(_)));
        }
    }

    #[test]
    fn a_dead_proxy_refuses_only_what_is_meant_to_stay_refused(case in any_case()) {
        let case = Case { beat_ns: 0, ..case };
        match decide(&case) {
            Verdict::Pass(_) => {}
            Verdict::Refuse(_) => prop_assert!(case.refusal.unwrap().while_stale == 1),
            Verdict::Redirect { .. } => prop_assert!(false, "redirected to a dead proxy"),
        }
    }

    #[test]
    fn only_what_waits_at_a_filtered_listener_is_held_and_never_what_is_known_or_configured(case in any_case()) {
        if let Verdict::Redirect { admission, .. } = decide(&case) {
            let truthful = case.landing.unwrap().truthful == 1;
            prop_assert_eq!(admission == Admission::Unfiltered, !truthful);
            prop_assert_eq!(admission == Admission::Eager, truthful && case.eager);
            let good = case.good_until_ns > NOW;
            prop_assert_eq!(admission == Admission::Held, truthful && !case.eager && !good);
            prop_assert!(case.room);
        }
    }

    #[test]
    fn one_destination_always_goes_to_one_listener(landing in any_landing(), destination in any_endpoint()) {
        prop_assert_eq!(landing.listener_for(&destination), landing.listener_for(&destination));
    }
}
