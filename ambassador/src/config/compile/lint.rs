// SPDX-License-Identifier: Apache-2.0
//! What is valid but was hardly meant: routes that nothing reaches, or that lead foreign connections astray.
//!
//! Only certain findings: a route is called shadowed when an earlier one provably matches all that it matches.

use ipnet::IpNet;

use crate::policy::matcher::{HostPattern, Match, PathMatch};
use crate::policy::route::Route;

/// Whether everything that `narrow` matches is also matched by `wide`.
pub(super) fn covers(wide: &Match, narrow: &Match) -> bool {
    all_covered(&wide.hosts, &narrow.hosts, host_covers)
        && all_covered(&wide.cidrs, &narrow.cidrs, |wide: &IpNet, narrow| wide.contains(narrow))
        && all_covered(&wide.ports, &narrow.ports, PartialEq::eq)
        && all_covered(&wide.methods, &narrow.methods, PartialEq::eq)
        && all_covered(&wide.paths, &narrow.paths, path_covers)
        && all_covered(&wide.apps, &narrow.apps, PartialEq::eq)
        && (wide.protocol.is_none() || wide.protocol == narrow.protocol)
}

/// Whether the route leads connections to its endpoints wherever they were meant to go, without saying that it wants
/// to (`hosts: ["*"]`).
pub(super) fn takes_every_address(route: &Route) -> bool {
    !route.endpoints().is_empty() && route.matcher.hosts.is_empty() && route.matcher.cidrs.is_empty()
}

fn all_covered<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    wide.is_empty()
        || (!narrow.is_empty() && narrow.iter().all(|entry| wide.iter().any(|other| covers(other, entry))))
}

fn host_covers(wide: &HostPattern, narrow: &HostPattern) -> bool {
    match (wide, narrow) {
        (HostPattern::Any, _) => true,
        (HostPattern::Suffix(suffix), HostPattern::Exact(name) | HostPattern::Suffix(name)) => {
            name.ends_with(suffix.as_str())
        }
        (HostPattern::Exact(wide), HostPattern::Exact(narrow)) => wide == narrow,
        (_, HostPattern::Any) | (HostPattern::Exact(_), HostPattern::Suffix(_)) => false,
    }
}

fn path_covers(wide: &PathMatch, narrow: &PathMatch) -> bool {
    match (wide, narrow) {
        (PathMatch::Prefix(prefix), PathMatch::Exact(path) | PathMatch::Prefix(path)) => {
            path.starts_with(prefix.as_str())
        }
        (PathMatch::Exact(wide), PathMatch::Exact(narrow)) => wide == narrow,
        (PathMatch::Exact(_), PathMatch::Prefix(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_covered() {
        let hosts = |names: &[&str]| Match {
            hosts: names.iter().map(|name| name.parse().unwrap()).collect(),
            ..Match::default()
        };
        let any = Match::default();
        for (wide, narrow, want) in [
            (any.clone(), hosts(&["a.example"]), true),
            (hosts(&["a.example"]), any.clone(), false),
            (hosts(&["*.example"]), hosts(&["a.example", "b.a.example"]), true),
            (hosts(&["*.example"]), hosts(&["example"]), false),
            (hosts(&["a.example"]), hosts(&["a.example", "b.example"]), false),
            (hosts(&["*"]), any, false),
            (
                Match { ports: vec![80, 443], ..Match::default() },
                Match { ports: vec![80], ..Match::default() },
                true,
            ),
            (
                Match { ports: vec![80], ..Match::default() },
                Match { methods: vec!["GET".into()], ..Match::default() },
                false,
            ),
        ] {
            assert_eq!(covers(&wide, &narrow), want, "{wide:?} {narrow:?}");
        }
    }
}
