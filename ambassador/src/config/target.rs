// SPDX-License-Identifier: Apache-2.0
//! What a program would dial, as one writes it: `http://host/path`, `https://host`, `host:port`.
//!
//! Nothing is looked up: an explanation must be the same on every machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::policy::matcher::Protocol;

use super::text::check_host;

/// A destination, and what the first bytes would tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host as written, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What would be spoken: HTTP for `http://`, TLS for `https://`, otherwise opaque.
    pub protocol: Protocol,
    /// The path of an HTTP request.
    pub path: Option<String>,
}

/// Why a text names no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A scheme other than http and https.
    #[error("only http:// and https:// URLs are understood; for anything else write HOST:PORT")]
    Scheme,
    /// No host.
    #[error("the host is missing")]
    NoHost,
    /// No DNS name, and no address.
    #[error("the host is neither a name nor an address")]
    Host,
    /// An IPv6 address without both brackets, or something else in them.
    #[error("an IPv6 address stands in brackets: [2001:db8::1]")]
    Brackets,
    /// No port, or not a number from 1 to 65535.
    #[error("the port is missing or not a number from 1 to 65535; write HOST:PORT or a URL")]
    Port,
}

impl Target {
    /// The dialled address: the host if it is one, else `known`, else an address that no network holds.
    pub fn destination(&self, known: Option<IpAddr>) -> SocketAddr {
        let literal = self.host.parse().ok();
        SocketAddr::new(literal.or(known).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), self.port)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (protocol, default_port, rest) = match text.split_once("://") {
            None => (Protocol::Opaque, None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Protocol::Http1, Some(80), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Protocol::Tls, Some(443), rest),
            Some(_) => return Err(TargetError::Scheme),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => default_port,
        };
        let path = path.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
        Ok(Self {
            host: host.to_owned(),
            port: port.ok_or(TargetError::Port)?,
            protocol,
            path: (protocol == Protocol::Http1).then(|| path.to_owned()),
        })
    }
}

/// The host, which could be dialled, and the text of the port.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (v6, rest) = rest.split_once(']').ok_or(TargetError::Brackets)?;
        v6.parse::<Ipv6Addr>().map_err(|_| TargetError::Brackets)?;
        return match rest.strip_prefix(':') {
            None if !rest.is_empty() => Err(TargetError::Port),
            port => Ok((v6, port)),
        };
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    match check_host(host.strip_suffix('.').unwrap_or(host)) {
        _ if host.is_empty() => Err(TargetError::NoHost),
        _ if host.contains([':', ']']) => Err(TargetError::Brackets),
        Ok(()) => Ok((host, port)),
        Err(_) => Err(TargetError::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_host_ports_are_understood() {
        let target = |host: &str, port, protocol, path: Option<&str>| {
            Ok(Target { host: host.to_owned(), port, protocol, path: path.map(str::to_owned) })
        };
        for (text, want) in [
            ("http://a.example", target("a.example", 80, Protocol::Http1, Some("/"))),
            ("HTTP://a.example:8080/x?y=1#z", target("a.example", 8080, Protocol::Http1, Some("/x"))),
            ("http://a.example?y", target("a.example", 80, Protocol::Http1, Some("/"))),
            ("https://u:p@a.example/x", target("a.example", 443, Protocol::Tls, None)),
            ("a.example:6379", target("a.example", 6379, Protocol::Opaque, None)),
            ("[::1]:6379", target("::1", 6379, Protocol::Opaque, None)),
            ("http://[::1]/", target("::1", 80, Protocol::Http1, Some("/"))),
            ("a.example", Err(TargetError::Port)),
            ("a.example:0", Err(TargetError::Port)),
            ("a.example:65536", Err(TargetError::Port)),
            ("::1", Err(TargetError::Brackets)),
            ("http://[::1", Err(TargetError::Brackets)),
            ("http://::1]/", Err(TargetError::Brackets)),
            ("http://[a.example]/", Err(TargetError::Brackets)),
            ("http://[::1]80/", Err(TargetError::Port)),
            ("http://a b/", Err(TargetError::Host)),
            ("http://", Err(TargetError::NoHost)),
            (":80", Err(TargetError::NoHost)),
            ("ftp://a.example", Err(TargetError::Scheme)),
        ] {
            assert_eq!(text.parse::<Target>(), want, "{text}");
        }
    }
}
