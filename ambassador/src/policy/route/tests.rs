// SPDX-License-Identifier: Apache-2.0
//! The table: first match, decisions from the destination alone, and claims that do not fit.

use super::{ByDestination, Endpoint, Route, RouteTable, Upstream};
use crate::policy::facts::{L4Facts, L7Facts, Names};
use crate::policy::matcher::{HostPattern, Match, PathMatch, Protocol, WhyNot};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{select, subsequence};
use std::sync::Arc;

const HOSTS: [&str; 4] = ["a.example", "*.example", "*", "b.internal"];
const NAMES: [&str; 7] = ["a.example", "A.EXAMPLE:80", "b.internal", "10.0.0.1", "other", "", "ü.example"];
const ADDRESSES: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:443", "[::1]:80", "[::ffff:10.0.0.1]:443"];

fn route(name: &str, matcher: Match, endpoints: &[&str]) -> Arc<Route> {
    let endpoints: Vec<_> =
        endpoints.iter().map(|host| Endpoint { host: (*host).to_owned(), port: 80 }).collect();
    let upstream = (!endpoints.is_empty()).then(|| Arc::new(Upstream { endpoints, ..Upstream::default() }));
    Arc::new(Route { name: Arc::from(name), matcher, upstream, ..Route::default() })
}

fn hosts(patterns: &[&str]) -> Match {
    Match { hosts: patterns.iter().map(|text| text.parse().unwrap()).collect(), ..Match::default() }
}

fn table(routes: Vec<Arc<Route>>) -> RouteTable {
    RouteTable { routes, ..RouteTable::default() }
}

fn names() -> Names {
    let mut names = Names::default();
    names.insert("a.example", vec!["10.0.0.1".parse().unwrap()]);
    names.insert("b.internal", vec!["10.0.0.2".parse().unwrap(), "::1".parse().unwrap()]);
    names
}

fn l4(destination: &str) -> L4Facts<'_> {
    L4Facts { destination: destination.parse().unwrap(), app: "curl" }
}

fn http(host: &str) -> L7Facts<'_> {
    L7Facts { host: Some(host), method: Some("GET"), path: Some("/"), ..L7Facts::of(Protocol::Http1) }
}

#[test]
fn the_first_match_wins_and_the_default_catches_the_rest() {
    let mut table = table(vec![
        route("one", hosts(&["a.example"]), &[]),
        route("two", hosts(&["*.example"]), &[]),
        route("three", Match { ports: vec![443], ..Match::default() }, &[]),
    ]);
    let check = |table: &RouteTable, to: &str, host: &str, want: &str, denied: bool| {
        let (names, l4, l7) = (names(), l4(to), http(host));
        let selection = table.select(&l4, &l7, &names);
        assert_eq!((&*selection.route.name, selection.denied), (want, denied), "{to} {host}");
    };
    check(&table, "10.0.0.1:80", "a.example", "one", false);
    check(&table, "10.0.0.1:80", "c.example", "two", false);
    check(&table, "10.0.0.1:443", "other", "three", false);
    check(&table, "10.0.0.1:80", "other", "default", false);
    table.deny_unmatched = true;
    check(&table, "10.0.0.1:80", "other", "default", true);
    check(&table, "10.0.0.1:80", "a.example", "one", false);
}

#[test]
fn a_destination_decides_alone_unless_an_earlier_route_reads_more() {
    let names = names();
    let by_port = || route("port", Match { ports: vec![80], ..Match::default() }, &[]);
    let by_host = || route("host", hosts(&["a.example"]), &[]);
    let check = |routes, to: &str, decided: bool, want: &str| {
        let table = table(routes);
        let (is_decided, name) = match table.for_destination(&l4(to), &names) {
            ByDestination::Decided(selection) => (true, selection.route.name.clone()),
            ByDestination::Undecided { first } => (false, first.name.clone()),
        };
        assert_eq!((is_decided, &*name), (decided, want));
    };
    check(vec![], "10.0.0.1:80", true, "default");
    check(vec![by_port(), by_host()], "10.0.0.1:80", true, "port");
    check(vec![by_port(), by_host()], "10.0.0.1:81", false, "host");
    check(vec![by_host(), by_port()], "10.0.0.1:80", false, "host");
    check(vec![by_port()], "10.0.0.1:81", true, "default");
}

#[test]
fn a_claimed_name_that_does_not_fit_the_dialled_address_is_a_mismatch() {
    let names = names();
    let check = |matcher: Match, endpoints: &[&str], to: &str, l7: L7Facts<'_>, want: bool| {
        let table = table(vec![route("r", matcher, endpoints)]);
        let selection = table.select(&l4(to), &l7, &names);
        assert_eq!(
            (&*selection.route.name, selection.host_mismatch),
            ("r", want),
            "{endpoints:?} {to} {l7:?}"
        );
    };
    let own = ["b.internal"];
    // The address belongs to the claimed name, or to an endpoint.
    check(hosts(&["a.example"]), &own, "10.0.0.1:80", http("a.example"), false);
    check(hosts(&["a.example"]), &own, "10.0.0.2:80", http("a.example"), false);
    check(hosts(&["a.example"]), &["10.0.0.7"], "10.0.0.7:80", http("a.example"), false);
    // It belongs to neither.
    check(hosts(&["a.example"]), &own, "10.0.0.3:80", http("a.example"), true);
    check(hosts(&["*.example"]), &own, "10.0.0.1:80", http("c.example"), true);
    check(hosts(&["10.0.0.5"]), &own, "10.0.0.1:80", http("10.0.0.5"), true);
    let tls = L7Facts { sni: Some("a.example"), ..L7Facts::of(Protocol::Tls) };
    check(hosts(&["a.example"]), &own, "10.0.0.3:443", tls, true);
    // A name that the route does not mean proves nothing for it.
    let fronted = L7Facts { sni: Some("b.internal"), ..http("a.example") };
    check(hosts(&["a.example"]), &["a.example"], "10.0.0.2:80", fronted, true);
    // Nothing is re-routed, or not because of a name.
    check(hosts(&["a.example"]), &[], "10.0.0.3:80", http("a.example"), false);
    check(hosts(&["*"]), &own, "10.0.0.3:80", http("a.example"), false);
    check(Match::default(), &own, "10.0.0.3:80", http("a.example"), false);
    check(hosts(&["a.example"]), &own, "10.0.0.1:80", L7Facts::of(Protocol::Opaque), false);
}

#[test]
fn explain_says_of_every_route_why_it_does_not_match() {
    let table = table(vec![
        route("port", Match { ports: vec![443], ..Match::default() }, &[]),
        route("host", hosts(&["b.internal"]), &[]),
        route("all", Match::default(), &[]),
    ]);
    let verdicts: Vec<_> = table
        .explain(&l4("10.0.0.1:80"), &http("a.example"), &names())
        .into_iter()
        .map(|it| (it.route.name.to_string(), it.verdict.map_err(WhyNot::key)))
        .collect();
    let want = [("port", Err("ports")), ("host", Err("hosts")), ("all", Ok(()))];
    assert_eq!(verdicts, want.map(|(name, verdict)| (name.to_owned(), verdict)));
}

#[test]
fn the_names_to_resolve_are_exact_hosts_and_endpoints_once_each() {
    let table = table(vec![
        route("one", hosts(&["a.example", "*.example"]), &["b.internal", "10.0.0.1"]),
        route("two", hosts(&["b.internal"]), &[]),
    ]);
    assert_eq!(table.names_to_resolve(), ["a.example", "b.internal"]);
}

fn matches() -> impl Strategy<Value = Match> {
    let paths = vec![PathMatch::Exact("/a".to_owned()), PathMatch::Prefix("/b".to_owned())];
    (
        subsequence(&HOSTS[..], 0..=2),
        subsequence(vec!["10.0.0.0/31", "::/0"], 0..=1),
        subsequence(vec![80u16, 443], 0..=1),
        subsequence(vec!["GET", "POST"], 0..=1),
        subsequence(paths, 0..=1),
        proptest::option::weighted(0.3, select(&[Protocol::Http1, Protocol::Opaque][..])),
        subsequence(vec!["curl", "a-name-longer-than-the-kernel-keeps"], 0..=1),
    )
        .prop_map(|(hosts, cidrs, ports, methods, paths, protocol, apps)| Match {
            hosts: hosts.iter().map(|text| text.parse::<HostPattern>().unwrap()).collect(),
            cidrs: cidrs.iter().map(|text| text.parse().unwrap()).collect(),
            ports,
            methods: methods.into_iter().map(str::to_owned).collect(),
            paths,
            protocol,
            apps: apps.into_iter().map(str::to_owned).collect(),
        })
}

fn tables() -> impl Strategy<Value = RouteTable> {
    let routes = (matches(), subsequence(vec!["a.example", "b.internal"], 0..=2));
    (proptest::collection::vec(routes, 0..6), any::<bool>()).prop_map(|(routes, deny_unmatched)| RouteTable {
        routes: routes.into_iter().map(|(matcher, endpoints)| route("r", matcher, &endpoints)).collect(),
        deny_unmatched,
        ..RouteTable::default()
    })
}

fn claims() -> impl Strategy<Value = L7Facts<'static>> {
    (
        select(vec![Protocol::Http1, Protocol::Http2, Protocol::Tls, Protocol::Opaque]),
        proptest::option::of(select(&NAMES[..])),
        proptest::option::weighted(0.2, select(&NAMES[..])),
        proptest::option::of(select(&["GET", "POST", ""][..])),
        proptest::option::of(select(&["/a", "/a?x", "/bc", "*", ""][..])),
    )
        .prop_map(|(protocol, host, sni, method, path)| L7Facts { protocol, host, sni, method, path })
}

proptest! {
    #[test]
    fn matching_is_total_and_the_first_match_is_stable(
        table in tables(),
        to in select(&ADDRESSES[..]),
        app in select(&["curl", "a-name-longer-", "a-name-longer-t", ""][..]),
        l7 in claims(),
    ) {
        let (names, l4) = (names(), L4Facts { app, ..l4(to) });
        let selection = table.select(&l4, &l7, &names);
        let first = table.explain(&l4, &l7, &names).into_iter().find(|it| it.verdict.is_ok());
        prop_assert_eq!(selection.denied, first.is_none() && table.deny_unmatched);
        prop_assert!(Arc::ptr_eq(selection.route, first.as_ref().map_or(&table.default_route, |it| &it.route)));
        prop_assert!(!selection.host_mismatch || !selection.route.endpoints().is_empty());

        let mut longer = table.clone();
        longer.routes.push(route("last", Match::default(), &[]));
        if first.is_some() {
            prop_assert!(Arc::ptr_eq(longer.select(&l4, &l7, &names).route, selection.route));
        }
    }

    #[test]
    fn what_the_destination_decides_no_first_bytes_change(
        table in tables(),
        to in select(&ADDRESSES[..]),
        l7 in claims(),
    ) {
        let (names, l4) = (names(), l4(to));
        if let ByDestination::Decided(decided) = table.for_destination(&l4, &names) {
            prop_assert_eq!(decided, table.select(&l4, &l7, &names));
        }
    }
}
