// SPDX-License-Identifier: Apache-2.0
//! What is known of a flow or request when a route is chosen, and which addresses configured names have.
//!
//! The dialled address is a fact of the kernel; Host and SNI are what the program claims. They are kept apart here so
//! that a claim can never pass for a fact.

use super::matcher::Protocol;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What the kernel knows from the connect on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L4Facts<'a> {
    /// The address that the program dialled.
    pub destination: SocketAddr,
    /// The calling thread's `comm`; empty if it is unknown.
    pub app: &'a str,
}

impl L4Facts<'_> {
    /// The dialled address; a v4-mapped one as IPv4.
    pub fn ip(&self) -> IpAddr {
        self.destination.ip().to_canonical()
    }
}

/// What the first bytes tell. A flow without names, methods or paths (opaque) leaves them `None`: that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L7Facts<'a> {
    /// What the flow speaks.
    pub protocol: Protocol,
    /// The value of HTTP's Host or `:authority`, as it came.
    pub host: Option<&'a str>,
    /// The server name of a TLS `ClientHello`.
    pub sni: Option<&'a str>,
    /// The HTTP method.
    pub method: Option<&'a str>,
    /// The HTTP path; a query is ignored.
    pub path: Option<&'a str>,
}

impl<'a> L7Facts<'a> {
    /// The facts of a flow of which only the protocol is known.
    pub const fn of(protocol: Protocol) -> Self {
        Self { protocol, host: None, sni: None, method: None, path: None }
    }

    /// The names that the program claims, without ports and trailing dots: Host, then SNI.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let host = self.host.map(host_without_port);
        host.into_iter().chain(self.sni).map(without_dot).filter(|name| !name.is_empty())
    }

    /// What the program claims, for all routes that look at it.
    pub(super) fn claims(&self) -> Claims<'a> {
        let mut names = self.names();
        let names = [names.next(), names.next()];
        let claims_name = names.iter().flatten().any(|name| name.parse::<IpAddr>().is_err());
        Claims { names, claims_name }
    }

    pub(super) fn path_without_query(&self) -> Option<&'a str> {
        self.path.map(|path| path.split_once(['?', '#']).map_or(path, |(path, _)| path))
    }
}

/// The names that a program claims.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims<'a> {
    names: [Option<&'a str>; 2],
    /// Whether a name is claimed at all; an IP address as Host names nothing.
    pub(super) claims_name: bool,
}

impl<'a> Claims<'a> {
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.names.into_iter().flatten()
    }
}

/// The addresses of configured names, as the caller last resolved them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(HashMap<String, Vec<IpAddr>>);

impl Names {
    /// Replaces the addresses of `name`.
    pub fn insert(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.0.insert(without_dot(name).to_ascii_lowercase(), addresses);
    }

    /// The addresses of `name`, in any case; none if it was not resolved.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        let name = without_dot(name);
        let found = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.0.get(&name.to_ascii_lowercase())
        } else {
            self.0.get(name)
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// Whether `name` stands for `ip`: as one of its addresses, or by being that address.
    pub fn has(&self, name: &str, ip: IpAddr) -> bool {
        let literal = name.parse::<IpAddr>().is_ok_and(|literal| literal.to_canonical() == ip);
        literal || self.addresses(name).iter().any(|address| address.to_canonical() == ip)
    }
}

/// A Host header's value without its port; the brackets of an IPv6 address go too (RFC 9110 §7.2, RFC 3986 §3.2.2).
pub fn host_without_port(host: &str) -> &str {
    let host = host.trim_ascii();
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').map_or(bracketed, |(address, _)| address);
    }
    match host.split_once(':') {
        Some((_, rest)) if rest.contains(':') => host, // an IPv6 address without brackets
        Some((name, _)) => name,
        None => host,
    }
}

pub(super) fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_and_brackets() {
        let check = |host, want| assert_eq!(host_without_port(host), want, "{host}");
        check("shop.example", "shop.example");
        check("shop.example:8080", "shop.example");
        check("10.0.0.1:80", "10.0.0.1");
        check("[::1]:80", "::1");
        check("[::1]", "::1");
        check("fe80::1", "fe80::1");
        check("[", "");
        check("", "");
        check(":", "");
    }

    #[test]
    fn names_are_looked_up_in_any_case_and_addresses_stand_for_themselves() {
        let mut names = Names::default();
        names.insert("Redis.Internal.", vec!["::ffff:10.0.0.9".parse().unwrap()]);
        let ip: IpAddr = "10.0.0.9".parse().unwrap();
        assert!(names.has("redis.internal", ip) && names.has("REDIS.internal.", ip));
        assert!(names.has("10.0.0.9", ip) && !names.has("10.0.0.8", ip) && !names.has("other", ip));
    }
}
