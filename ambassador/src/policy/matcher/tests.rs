// SPDX-License-Identifier: Apache-2.0
//! Each criterion of a match.

use super::{HostPattern, HostPatternError, Match, PathMatch, Protocol, Verdict, WhyNot};
use crate::policy::facts::{L4Facts, L7Facts, Names};
use crate::policy::route::Endpoint;
use proptest::prelude::{prop_assert_eq, proptest};

fn pattern(text: &str) -> HostPattern {
    text.parse().unwrap()
}

fn l4(destination: &str) -> L4Facts<'_> {
    L4Facts { destination: destination.parse().unwrap(), app: "curl" }
}

fn get<'a>(host: &'a str, path: &'a str) -> L7Facts<'a> {
    L7Facts { host: Some(host), method: Some("GET"), path: Some(path), ..L7Facts::of(Protocol::Http1) }
}

#[test]
fn host_patterns_match_exactly_by_suffix_or_anything() {
    let check = |text: &str, name: &str, want: bool| {
        assert_eq!(pattern(text).matches(name), want, "{text} {name}");
    };
    check("shop.example", "shop.example", true);
    check("Shop.Example.", "SHOP.example", true);
    check("shop.example", "a.shop.example", false);
    check("*.example.com", "a.example.com", true);
    check("*.example.com", "A.B.Example.COM", true);
    check("*.example.com", "example.com", false);
    check("*.example.com", ".example.com", false);
    check("*.example.com", "badexample.com", false);
    check("*.example.com", "ü.example.com", true);
    check("*.example.com", "üexample.com", false);
    check("*", "", true);
    check("[::1]", "::1", true);
}

#[test]
fn what_is_no_host_pattern_says_why() {
    let check = |text: &str, want| assert_eq!(text.parse::<HostPattern>(), Err(want), "{text}");
    check("", HostPatternError::Empty);
    check("*.", HostPatternError::Empty);
    check("..", HostPatternError::Empty);
    check("a..b", HostPatternError::Empty);
    check("*..b", HostPatternError::Empty);
    check("[]", HostPatternError::Empty);
    check("a.*.com", HostPatternError::Wildcard);
    check("*a.com", HostPatternError::Wildcard);
    check("http://a", HostPatternError::NotAName);
    check("a b", HostPatternError::NotAName);
    check("a:80", HostPatternError::Port);
    check("[::1]:80", HostPatternError::Port);
}

#[test]
fn every_criterion_must_hold_and_the_first_that_does_not_is_named() {
    let route = Match {
        hosts: vec![pattern("*.shop.example")],
        cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        ports: vec![80, 8080],
        methods: vec!["GET".to_owned()],
        paths: vec![PathMatch::Prefix("/v1/".to_owned()), PathMatch::Exact("/health".to_owned())],
        protocol: Some(Protocol::Http1),
        apps: vec!["curl".to_owned()],
    };
    let check = |l4: L4Facts<'_>, l7: L7Facts<'_>, want| {
        assert_eq!(route.test(&l4, Some(&l7), &[], &Names::default()), want, "{l4:?} {l7:?}");
    };
    let no = Verdict::No;
    let there = l4("10.1.2.3:80");
    let good = get("api.shop.example:80", "/v1/orders?a=b");
    check(there, good, Verdict::Yes);
    check(l4("[::ffff:10.1.2.3]:8080"), good, Verdict::Yes);
    check(there, get("api.shop.example", "/health?x"), Verdict::Yes);
    check(l4("10.1.2.3:81"), good, no(WhyNot::Port));
    check(l4("11.1.2.3:80"), good, no(WhyNot::Cidr));
    check(L4Facts { app: "wget", ..there }, good, no(WhyNot::App));
    check(there, L7Facts { protocol: Protocol::Http2, ..good }, no(WhyNot::Protocol));
    check(there, get("shop.example", "/health"), no(WhyNot::Host));
    check(there, L7Facts { method: Some("get"), ..good }, no(WhyNot::Method));
    check(there, L7Facts { method: None, ..good }, no(WhyNot::Method));
    check(there, get("a.shop.example", "/healthy"), no(WhyNot::Path));
}

#[test]
fn a_long_program_name_is_compared_as_the_kernel_keeps_it() {
    let route = Match { apps: vec!["legacy-inventory-sync".to_owned()], ..Match::default() };
    let facts = L4Facts { app: "legacy-inventor", ..l4("10.0.0.1:80") };
    assert_eq!(route.test(&facts, None, &[], &Names::default()), Verdict::Yes);
}

#[test]
fn a_flow_without_a_claimed_name_is_judged_by_the_address_of_configured_ones() {
    let route = Match { hosts: vec![pattern("redis.internal")], ..Match::default() };
    let wildcard = Match { hosts: vec![pattern("*.internal")], ..Match::default() };
    let endpoints = [Endpoint { host: "Redis.internal".to_owned(), port: 6379 }];
    let mut names = Names::default();
    names.insert("redis.internal", vec!["10.0.0.9".parse().unwrap()]);
    let opaque = L7Facts::of(Protocol::Opaque);
    let check = |route: &Match, endpoints: &[Endpoint], to: &str, l7: L7Facts<'_>, want: bool| {
        let verdict = route.test(&l4(to), Some(&l7), endpoints, &names);
        assert_eq!(verdict == Verdict::Yes, want, "{route:?} {to} {l7:?}");
    };
    check(&route, &[], "10.0.0.9:6379", opaque, true);
    check(&route, &[], "10.0.0.8:6379", opaque, false);
    check(&wildcard, &endpoints, "10.0.0.9:6379", opaque, true);
    check(&wildcard, &[], "10.0.0.9:6379", opaque, false);
    check(&route, &[], "10.0.0.9:80", get("10.0.0.9:80", "/"), true);
    check(&route, &[], "10.0.0.9:80", get("other.internal", "/"), false);
    let tls = L7Facts { sni: Some("REDIS.internal"), ..L7Facts::of(Protocol::Tls) };
    check(&route, &[], "10.0.0.1:443", tls, true);
}

#[test]
fn before_the_first_bytes_only_layer_four_can_refuse_and_only_it_can_suffice() {
    let check = |route: Match, want| {
        assert_eq!(route.test(&l4("10.0.0.1:80"), None, &[], &Names::default()), want, "{route:?}");
    };
    check(Match::default(), Verdict::Yes);
    check(Match { hosts: vec![HostPattern::Any], ports: vec![80], ..Match::default() }, Verdict::Yes);
    check(Match { hosts: vec![pattern("a")], ..Match::default() }, Verdict::NeedsL7);
    check(Match { methods: vec!["GET".to_owned()], ..Match::default() }, Verdict::NeedsL7);
    check(Match { protocol: Some(Protocol::Tls), ..Match::default() }, Verdict::NeedsL7);
    check(
        Match { hosts: vec![pattern("a")], ports: vec![81], ..Match::default() },
        Verdict::No(WhyNot::Port),
    );
}

proptest! {
    #[test]
    fn a_pattern_is_read_back_from_its_display(text in "(\\*\\.)?[a-zA-Z0-9.-]{1,12}|\\*|.{0,6}") {
        if let Ok(pattern) = text.parse::<HostPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HostPattern>(), Ok(pattern));
        }
    }
}
