// SPDX-License-Identifier: Apache-2.0
//! Which connects the kernel may let in by itself, because their routes connect eagerly whatever their first bytes say.
//!
//! What is left out is only slower: user space asks [`RouteTable::connect_mode`] for each connect that waits. So
//! nothing may be named here for which that would say truthful.

use super::matcher::Match;
use super::route::{ConnectMode, Route, RouteTable};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks and ports (`None`: every port) to which all connects are eager.
pub fn targets(table: &RouteTable) -> Vec<(IpNet, Option<u16>)> {
    let mut targets = Vec::new();
    for (position, route) in table.routes.iter().enumerate() {
        // The kernel's list does not know programs.
        if route.connect != ConnectMode::Eager || !route.matcher.apps.is_empty() {
            continue;
        }
        let earlier = &table.routes[..position];
        let own = networks(&route.matcher).into_iter().flat_map(|net| {
            let ports = route.matcher.ports.iter().copied().map(Some);
            ports.chain(route.matcher.ports.is_empty().then_some(None)).map(move |port| (net, port))
        });
        targets.extend(own.filter(|target| !earlier.iter().any(|earlier| may_precede(earlier, *target))));
    }
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Whether `earlier` may make a connect there truthful. First bytes are not waited for, so a route that needs them
/// makes nothing truthful.
fn may_precede(earlier: &Route, (net, port): (IpNet, Option<u16>)) -> bool {
    let own = &earlier.matcher;
    let shares_port = own.ports.is_empty() || port.is_none_or(|port| own.ports.contains(&port));
    let shares_net =
        own.cidrs.is_empty() || own.cidrs.iter().any(|one| one.contains(&net) || net.contains(one));
    earlier.connect == ConnectMode::Truthful && !own.needs_l7() && shares_port && shares_net
}

fn networks(matcher: &Match) -> Vec<IpNet> {
    if matcher.cidrs.is_empty() {
        return vec![Ipv4Net::default().into(), Ipv6Net::default().into()];
    }
    matcher.cidrs.iter().map(IpNet::trunc).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::facts::{L4Facts, Names};
    use proptest::prelude::{Strategy, any, prop_assert, proptest};
    use proptest::sample::{select, subsequence};
    use std::net::SocketAddr;
    use std::sync::Arc;

    fn routes() -> impl Strategy<Value = Vec<Route>> {
        let nets = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "fd00::/8", "::/0"];
        let hosts = ["*", "a.example"];
        let route = (
            any::<bool>(),
            subsequence(nets.to_vec(), 0..3),
            subsequence(vec![80_u16, 443], 0..2),
            subsequence(hosts.to_vec(), 0..2),
            subsequence(vec!["curl"], 0..1),
            any::<bool>(),
        );
        let route = route.prop_map(|(eager, nets, ports, hosts, apps, needs_method)| Route {
            connect: if eager { ConnectMode::Eager } else { ConnectMode::Truthful },
            matcher: Match {
                cidrs: nets.iter().map(|net| net.parse().unwrap()).collect(),
                hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
                apps: apps.into_iter().map(str::to_owned).collect(),
                methods: needs_method.then(|| "GET".to_owned()).into_iter().collect(),
                ports,
                ..Match::default()
            },
            ..Route::default()
        });
        proptest::collection::vec(route, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_named_is_eager_for_every_program(
            routes in routes(),
            ip in select(&["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "fd00::1", "2001:db8::1"][..]),
            port in select(&[80_u16, 443, 5432][..]),
            app in select(&["curl", "other"][..]),
        ) {
            let table = RouteTable { routes: routes.into_iter().map(Arc::new).collect(), ..RouteTable::default() };
            let destination = SocketAddr::new(ip.parse().unwrap(), port);
            let named = targets(&table).into_iter().any(|(net, on)| {
                net.contains(&destination.ip()) && on.is_none_or(|on| on == port)
            });
            let mode = table.connect_mode(&L4Facts { destination, app }, &Names::default());
            prop_assert!(!named || mode == ConnectMode::Eager, "{destination} {app} in {table:#?}");
        }
    }

    #[test]
    fn a_route_by_name_is_eager_for_its_ports_and_not_behind_a_truthful_one() {
        let route = |connect, matcher| Arc::new(Route { matcher, connect, ..Route::default() });
        let named = Match { hosts: vec!["a.example".parse().unwrap()], ports: vec![80], ..Match::default() };
        let eager = route(ConnectMode::Eager, named.clone());
        let of = |routes: &[&Arc<Route>]| {
            let routes = routes.iter().map(|route| Arc::clone(route)).collect();
            let targets = targets(&RouteTable { routes, ..RouteTable::default() });
            targets.iter().map(|(net, port)| format!("{net} {port:?}")).collect::<Vec<_>>()
        };
        let both = ["0.0.0.0/0 Some(80)", "::/0 Some(80)"];
        assert_eq!(of(&[&eager]), both);
        assert_eq!(of(&[&route(ConnectMode::Truthful, named), &eager]), both, "that one needs first bytes");
        let truthful = |port| route(ConnectMode::Truthful, Match { ports: vec![port], ..Match::default() });
        assert_eq!(of(&[&truthful(443), &eager]), both);
        assert!(of(&[&truthful(80), &eager]).is_empty());
    }
}
