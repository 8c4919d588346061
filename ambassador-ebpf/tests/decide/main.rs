// SPDX-License-Identifier: Apache-2.0
//! The decision, case by case, and what holds for every case.

mod case;
mod properties;

use ambassador_ebpf::{
    admission::Admission,
    decide::{Reason, Verdict, decide},
    landing::Landing,
};

use case::{Case, LIMIT, NOW, exception, landing, refusal};

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
        ("bound to 127.0.0.1", Case { from_loopback: true, ..case() }, pass(Reason::Loopback)),
        (
            "bound to 127.0.0.1 for loopback, asked for",
            Case { from_loopback: true, destination: "127.0.0.1:80", include_loopback: true, ..case() },
            redirect,
        ),
        ("link-local", Case { destination: "[fe80::1]:80", ..case() }, pass(Reason::BoundInterface)),
        ("link-local of IPv4", Case { destination: "169.254.169.254:80", ..case() }, redirect),
        ("beyond link-local", Case { destination: "[fec0::1]:80", ..case() }, redirect),
        (
            "link-local and refused",
            Case { destination: "[fe80::1]:80", refusal: refusal(0, 0), ..case() },
            Some(Verdict::Refuse(111)),
        ),
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
        ["tcp", "mark", "exclude", "beat", "deny", "interface", "source", "landing", "room"],
        "nothing is asked twice"
    );
    let truthful = || Case { landing: Some(landing().truthful()), ..Case::default() };
    assert_eq!(asked(truthful())[8..], ["room", "eager", "good"]);
    assert_eq!(asked(Case { eager: true, ..truthful() })[8..], ["room", "eager"]);
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
