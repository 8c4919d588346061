// SPDX-License-Identifier: Apache-2.0
//! The kernel's list means what the routes mean.

use super::{Rule, beyond_addresses, rules};
use crate::policy::facts::{L4Facts, Names};
use crate::policy::matcher::{Match, Protocol};
use crate::policy::mode::Mode;
use crate::policy::route::{ByDestination, Endpoint, OnProxyDown, Route, RouteTable, Upstream};
use OnProxyDown::{Bypass, Refuse};
use ipnet::IpNet;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use proptest::sample::{select, subsequence};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const NETS: [&str; 8] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3/32",
    "10.1.2.0/24",
    "0.0.0.0/0",
    "::/0",
    "fd00::/16",
    "fd00::1/128",
];
const ADDRESSES: [&str; 7] =
    ["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.0.2.1", "fd00::1", "2001:db8::1"];

fn route(matcher: Match, on_proxy_down: OnProxyDown) -> Arc<Route> {
    Arc::new(Route { matcher, on_proxy_down, ..Route::default() })
}

fn cidrs(cidrs: &[&str]) -> Match {
    Match { cidrs: cidrs.iter().map(|net| net.parse().unwrap()).collect(), ..Match::default() }
}

fn hosts(hosts: &[&str]) -> Match {
    Match { hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), ..Match::default() }
}

fn table(routes: Vec<Arc<Route>>, default: OnProxyDown) -> RouteTable {
    RouteTable { routes, default_route: route(Match::default(), default), deny_unmatched: false }
}

fn names() -> Names {
    let mut names = Names::default();
    names.insert("a.example", vec!["10.0.0.1".parse().unwrap(), "::ffff:10.0.0.2".parse().unwrap()]);
    names
}

/// Rules as words: `10.0.0.0/8:80 refuse`.
fn words(table: &RouteTable) -> Vec<String> {
    let word = |Rule { net, port, action }: Rule| {
        let port = port.map_or("*".to_owned(), |port| port.to_string());
        format!("{net}:{port} {}", if action == Refuse { "refuse" } else { "pass" })
    };
    rules(table, &names()).into_iter().map(word).collect()
}

/// What the kernel does: the rules with the port, then those without; of each the longest prefix.
fn kernel(rules: &[Rule], ip: IpAddr, port: u16) -> OnProxyDown {
    let best = |port| {
        let mine = rules.iter().filter(move |rule| rule.port == port && rule.net.contains(&ip));
        mine.max_by_key(|rule| rule.net.prefix_len())
    };
    best(Some(port)).or_else(|| best(None)).map_or(Bypass, |rule| rule.action)
}

#[test]
fn nothing_is_told_where_nothing_is_refused() {
    assert!(words(&table(vec![route(cidrs(&["10.0.0.0/8"]), Bypass)], Bypass)).is_empty());
    let resting = Route { mode: Mode::Shadow, on_proxy_down: Refuse, ..Route::default() };
    assert!(words(&table(vec![Arc::new(resting)], Bypass)).is_empty());
}

#[test]
fn the_default_refuses_everything_but_what_passes() {
    assert_eq!(words(&table(vec![], Refuse)), ["0.0.0.0/0:* refuse", "::/0:* refuse"]);
    let spared = Match { ports: vec![80], ..cidrs(&["10.0.0.0/8"]) };
    assert_eq!(
        words(&table(vec![route(spared, Bypass)], Refuse)),
        ["0.0.0.0/0:* refuse", "::/0:* refuse", "10.0.0.0/8:80 pass"]
    );
}

#[test]
fn a_route_refuses_the_addresses_of_its_names() {
    let named = Match { ports: vec![80], ..hosts(&["a.example", "10.9.9.9", "unknown.example"]) };
    assert_eq!(
        words(&table(vec![route(named, Refuse)], Bypass)),
        ["10.0.0.1/32:80 refuse", "10.0.0.2/32:80 refuse", "10.9.9.9/32:80 refuse"]
    );
    let endpoints = vec![Endpoint { host: "a.example".to_owned(), port: 80 }];
    let upstream = Some(Arc::new(Upstream { endpoints, ..Upstream::default() }));
    let inside = Match { cidrs: vec!["10.0.0.1/32".parse().unwrap()], ..hosts(&["*.example"]) };
    let by_endpoint = Route { matcher: inside, on_proxy_down: Refuse, upstream, ..Route::default() };
    assert_eq!(words(&table(vec![Arc::new(by_endpoint)], Bypass)), ["10.0.0.1/32:* refuse"]);
}

#[test]
fn a_rule_with_a_port_does_not_hide_an_earlier_one_without() {
    let first = route(cidrs(&["10.1.2.3/32"]), Refuse);
    let second = route(Match { ports: vec![80], ..Match::default() }, Bypass);
    let third = route(cidrs(&["10.0.0.0/8"]), Refuse);
    assert_eq!(
        words(&table(vec![first, second, third], Bypass)),
        ["10.0.0.0/8:* refuse", "10.0.0.0/8:80 pass", "10.1.2.3/32:80 refuse"]
    );
}

#[test]
fn what_addresses_do_not_tell_is_named() {
    let inexpressible = [
        Match { methods: vec!["GET".to_owned()], ..Match::default() },
        Match { apps: vec!["curl".to_owned()], ..Match::default() },
        Match { protocol: Some(Protocol::Http1), ..Match::default() },
        hosts(&["a.example", "*.example"]),
    ];
    let routes: Vec<_> = inexpressible.into_iter().map(|matcher| route(matcher, Refuse)).collect();
    let count = routes.len();
    let mut table = table(routes, Bypass);
    table.routes.push(route(hosts(&["a.example"]), Refuse));
    table.routes.push(route(hosts(&["*", "*.example"]), Refuse));
    assert_eq!(beyond_addresses(&table).count(), count);
    table.routes.truncate(3);
    assert!(words(&table).is_empty(), "a route that needs more refuses nothing");
}

fn any_route() -> impl Strategy<Value = Arc<Route>> {
    let nets = subsequence(&NETS[..], 0..4);
    let ports = subsequence(vec![80_u16, 443], 0..=2);
    (nets, ports, any::<bool>()).prop_map(|(nets, ports, refuse)| {
        let matcher = Match { ports, ..cidrs(&nets) };
        route(matcher, if refuse { Refuse } else { Bypass })
    })
}

proptest! {
    #[test]
    fn the_kernel_finds_what_the_first_route_says(
        routes in proptest::collection::vec(any_route(), 0..6),
        default: bool,
        ip in select(&ADDRESSES[..]),
        port in select(vec![80_u16, 443, 22]),
    ) {
        let table = table(routes, if default { Refuse } else { Bypass });
        let destination = SocketAddr::new(ip.parse().unwrap(), port);
        let names = Names::default();
        let chosen = table.for_destination(&L4Facts { destination, app: "" }, &names);
        let ByDestination::Decided(chosen) = chosen else { panic!("the address alone decides") };
        let rules = rules(&table, &names);
        prop_assert_eq!(kernel(&rules, destination.ip(), port), chosen.route.on_proxy_down, "{:?}", rules);
        let mut targets: Vec<(IpNet, Option<u16>)> = rules.iter().map(|rule| (rule.net, rule.port)).collect();
        targets.sort_unstable();
        targets.dedup();
        prop_assert_eq!(targets.len(), rules.len());
    }
}
