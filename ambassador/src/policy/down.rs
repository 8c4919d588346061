// SPDX-License-Identifier: Apache-2.0
//! What is refused while the proxy is stuck, as networks and ports: all that the kernel can tell without it.
//!
//! `onProxyDown` is said per route, and routes are in order; the kernel knows one list, in which a rule with a port
//! comes before one without, and then the longest prefix wins. The rules made here mean the same: for every address
//! and port, that of the first route which they choose.
//!
//! What addresses and ports cannot tell is left out: routes that ask for programs, protocols, methods or paths, and
//! names with wildcards. So such a route refuses nothing, and if it is to be passed by it does not keep a later route
//! or the default from refusing. A name stands for its addresses, whichever name a program means by them.

#[cfg(test)]
mod tests;

use super::facts::{Names, without_dot};
use super::matcher::HostPattern;
use super::route::{OnProxyDown, Route, RouteTable};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// What happens to connects to a network while the proxy is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The network.
    pub net: IpNet,
    /// The port; `None` is every port that no other rule names.
    pub port: Option<u16>,
    /// What happens to them.
    pub action: OnProxyDown,
}

/// The rules of `table`, given the addresses of its names; none if nothing is refused. Each network and port has at
/// most one, and shorter prefixes come first among those of a port.
pub fn rules(table: &RouteTable, names: &Names) -> Vec<Rule> {
    let routes = table.routes.iter().filter(|route| !route.matcher.needs_more_than_names());
    let mut claims: Vec<_> = routes.map(|route| Claim::of(route, names)).collect();
    claims.push(Claim { nets: everywhere(), ports: &[], action: action(&table.default_route) });
    if claims.iter().all(|claim| claim.action == OnProxyDown::Bypass) {
        return Vec::new();
    }
    let mut nets: Vec<_> = claims.iter().flat_map(|claim| claim.nets.iter().copied()).collect();
    nets.sort_unstable_by_key(|net| (net.prefix_len(), *net));
    nets.dedup();
    let mut ports: Vec<_> = claims.iter().flat_map(|claim| claim.ports.iter().copied()).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut rules = Vec::new();
    for port in std::iter::once(None).chain(ports.into_iter().map(Some)) {
        for &net in &nets {
            let due = claims.iter().find(|claim| claim.covers(net, port));
            let action = due.map_or(OnProxyDown::Bypass, |claim| claim.action);
            if look_up(&rules, net, port) != action {
                rules.push(Rule { net, port, action });
            }
        }
    }
    rules
}

/// The routes that are to refuse, but not all of which addresses and ports tell.
pub fn beyond_addresses(table: &RouteTable) -> impl Iterator<Item = &Route> {
    let has_wildcard = |route: &Route| {
        route.matcher.is_by_name()
            && route.matcher.hosts.iter().any(|host| matches!(host, HostPattern::Suffix(_)))
    };
    let refusing = table.routes.iter().filter(|route| action(route) == OnProxyDown::Refuse);
    refusing.map(|route| &**route).filter(move |it| it.matcher.needs_more_than_names() || has_wildcard(it))
}

/// What the kernel finds for a network in `rules`, which hold those without a port before those with one, and shorter
/// prefixes before longer ones.
fn look_up(rules: &[Rule], net: IpNet, port: Option<u16>) -> OnProxyDown {
    let best = |port| rules.iter().rev().find(|rule| rule.port == port && rule.net.contains(&net));
    best(port).or_else(|| best(None)).map_or(OnProxyDown::Bypass, |rule| rule.action)
}

/// What one route says about addresses and ports.
struct Claim<'a> {
    nets: Vec<IpNet>,
    /// None means every port.
    ports: &'a [u16],
    action: OnProxyDown,
}

impl<'a> Claim<'a> {
    fn of(route: &'a Route, names: &Names) -> Self {
        let matcher = &route.matcher;
        let nets = if matcher.is_by_name() {
            let inside =
                |ip: &IpAddr| matcher.cidrs.is_empty() || matcher.cidrs.iter().any(|net| net.contains(ip));
            addresses(route, names).filter(inside).map(IpNet::from).collect()
        } else if matcher.cidrs.is_empty() {
            everywhere()
        } else {
            matcher.cidrs.iter().map(IpNet::trunc).filter(|net| !is_mapped(net)).collect()
        };
        Self { nets, ports: &matcher.ports, action: action(route) }
    }

    fn covers(&self, net: IpNet, port: Option<u16>) -> bool {
        let on_port = self.ports.is_empty() || port.is_some_and(|port| self.ports.contains(&port));
        on_port && self.nets.iter().any(|own| own.contains(&net))
    }
}

/// The addresses that stand for the names of a route, and those of its endpoints that have such a name.
fn addresses(route: &Route, names: &Names) -> impl Iterator<Item = IpAddr> {
    let matcher = &route.matcher;
    let endpoints = route.endpoints().iter().map(|endpoint| endpoint.host.as_str());
    let meant = endpoints.filter(|host| matcher.fits_host(without_dot(host)));
    matcher.exact_hosts().chain(meant).flat_map(|name| {
        let literal = name.parse::<IpAddr>().ok();
        literal.into_iter().chain(names.addresses(name).iter().copied()).map(|ip| ip.to_canonical())
    })
}

/// A route that does not act refuses nothing.
fn action(route: &Route) -> OnProxyDown {
    if route.mode.acts() { route.on_proxy_down } else { OnProxyDown::Bypass }
}

/// Whether no destination is ever in the network, because v4-mapped ones count as IPv4.
fn is_mapped(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some())
}

fn everywhere() -> Vec<IpNet> {
    vec![Ipv4Net::default().into(), Ipv6Net::default().into()]
}
