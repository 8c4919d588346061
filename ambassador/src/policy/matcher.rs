// SPDX-License-Identifier: Apache-2.0
//! What a route matches on (`match`).
//!
//! A criterion that is empty matches everything; all criteria of a route must hold. Matching is total: it never fails,
//! whatever a program sends.

mod host_pattern;
#[cfg(test)]
mod tests;

pub use host_pattern::{HostPattern, HostPatternError};

use super::facts::{Claims, L4Facts, L7Facts, Names, without_dot};
use super::route::Endpoint;
use ipnet::IpNet;

/// The criteria of one route; an empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Names (`hosts`): HTTP Host without its port, TLS SNI, or the name of an endpoint that resolves to the address.
    pub hosts: Vec<HostPattern>,
    /// Networks of the dialled address (`cidrs`).
    pub cidrs: Vec<IpNet>,
    /// Dialled ports (`ports`).
    pub ports: Vec<u16>,
    /// HTTP methods, case-sensitive (`methods`; RFC 9110 §9.1).
    pub methods: Vec<String>,
    /// HTTP paths without the query (`paths`).
    pub paths: Vec<PathMatch>,
    /// The detected or declared protocol (`protocol`).
    pub protocol: Option<Protocol>,
    /// The calling thread's `comm` (`apps`); the kernel keeps 15 bytes of it, so only the first 15 are compared.
    pub apps: Vec<String>,
}

/// One entry of `paths`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// The whole path (Envoy `path`).
    Exact(String),
    /// The beginning of the path, as text: `/a` also matches `/ab` (Envoy `prefix`).
    Prefix(String),
}

impl PathMatch {
    /// Whether `path`, without its query, is meant.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

/// What a flow speaks, as detected or declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS that the program made; only its `ClientHello` can be read.
    Tls,
    /// Anything else: relayed as it is.
    Opaque,
}

impl Protocol {
    /// The word of labels: `http1`, `http2`, `tls`, `opaque`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::Opaque => "opaque",
        }
    }
}

/// The first criterion of a route that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhyNot {
    /// The dialled port is not one of `ports`.
    Port,
    /// The dialled address is in none of `cidrs`.
    Cidr,
    /// The calling program is not one of `apps`.
    App,
    /// What the flow speaks is not `protocol`.
    Protocol,
    /// Neither the claimed names nor the dialled address fit `hosts`.
    Host,
    /// The method is not one of `methods`, or there is none.
    Method,
    /// The path is none of `paths`, or there is none.
    Path,
}

impl WhyNot {
    /// The criterion's key in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Port => "ports",
            Self::Cidr => "cidrs",
            Self::App => "apps",
            Self::Protocol => "protocol",
            Self::Host => "hosts",
            Self::Method => "methods",
            Self::Path => "paths",
        }
    }
}

/// What the facts so far say about a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every criterion holds, whatever else may be learned.
    Yes,
    /// This one does not, whatever else may be learned.
    No(WhyNot),
    /// The first bytes will tell.
    NeedsL7,
}

impl Match {
    /// Tests the criteria, those of layer 4 first.
    ///
    /// `endpoints` are those of the route's upstream, `names` the addresses of configured names; by them `hosts` holds
    /// for a flow that claims no name.
    pub fn test(
        &self,
        l4: &L4Facts<'_>,
        l7: Option<&L7Facts<'_>>,
        endpoints: &[Endpoint],
        names: &Names,
    ) -> Verdict {
        match l7 {
            Some(l7) => self.test_claims(l4, (l7, &l7.claims()), endpoints, names),
            None => match self.l4_objection(l4) {
                Some(why) => Verdict::No(why),
                None if self.needs_l7() => Verdict::NeedsL7,
                None => Verdict::Yes,
            },
        }
    }

    /// The same, when the claims of `l7` have been taken apart.
    pub(super) fn test_claims(
        &self,
        l4: &L4Facts<'_>,
        l7: (&L7Facts<'_>, &Claims<'_>),
        endpoints: &[Endpoint],
        names: &Names,
    ) -> Verdict {
        let objection = self.l4_objection(l4).or_else(|| self.l7_objection(l4, l7, endpoints, names));
        objection.map_or(Verdict::Yes, Verdict::No)
    }

    /// Whether the program's claim of a name may choose this route.
    pub fn is_by_name(&self) -> bool {
        !self.hosts.is_empty() && !self.hosts.contains(&HostPattern::Any)
    }

    pub(super) fn fits_host(&self, name: &str) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(name))
    }

    /// The names of `hosts` without wildcards.
    pub(super) fn exact_hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => Some(name.as_str()),
            HostPattern::Any | HostPattern::Suffix(_) => None,
        })
    }

    /// Whether something other than addresses, ports and names takes part.
    pub(super) fn needs_more_than_names(&self) -> bool {
        !self.apps.is_empty() || self.protocol.is_some() || !self.methods.is_empty() || !self.paths.is_empty()
    }

    pub(super) fn needs_l7(&self) -> bool {
        self.is_by_name() || self.protocol.is_some() || !self.methods.is_empty() || !self.paths.is_empty()
    }

    fn l4_objection(&self, l4: &L4Facts<'_>) -> Option<WhyNot> {
        let ip = l4.ip();
        if !self.ports.is_empty() && !self.ports.contains(&l4.destination.port()) {
            return Some(WhyNot::Port);
        }
        if !self.cidrs.is_empty() && !self.cidrs.iter().any(|net| net.contains(&ip)) {
            return Some(WhyNot::Cidr);
        }
        if !self.apps.is_empty() && !self.apps.iter().any(|app| comm(app) == comm(l4.app)) {
            return Some(WhyNot::App);
        }
        None
    }

    fn l7_objection(
        &self,
        l4: &L4Facts<'_>,
        (l7, claims): (&L7Facts<'_>, &Claims<'_>),
        endpoints: &[Endpoint],
        names: &Names,
    ) -> Option<WhyNot> {
        if self.protocol.is_some_and(|protocol| protocol != l7.protocol) {
            return Some(WhyNot::Protocol);
        }
        if self.is_by_name() && !self.names_hold(l4, claims, endpoints, names) {
            return Some(WhyNot::Host);
        }
        let method = |method| self.methods.iter().any(|wanted| wanted == method);
        if !self.methods.is_empty() && !l7.method.is_some_and(method) {
            return Some(WhyNot::Method);
        }
        let path = |path| self.paths.iter().any(|wanted| wanted.matches(path));
        if !self.paths.is_empty() && !l7.path_without_query().is_some_and(path) {
            return Some(WhyNot::Path);
        }
        None
    }

    /// A claimed name decides; only a flow that claims none is judged by the address that it dialled.
    fn names_hold(
        &self,
        l4: &L4Facts<'_>,
        claims: &Claims<'_>,
        endpoints: &[Endpoint],
        names: &Names,
    ) -> bool {
        if claims.names().any(|name| self.fits_host(name)) {
            return true;
        }
        if claims.claims_name {
            return false;
        }
        let ip = l4.ip();
        self.exact_hosts().any(|name| names.has(name, ip))
            || endpoints.iter().any(|it| self.fits_host(without_dot(&it.host)) && names.has(&it.host, ip))
    }
}

/// The kernel's `comm` of a program's name: its first 15 bytes (`TASK_COMM_LEN`).
fn comm(app: &str) -> &[u8] {
    &app.as_bytes()[..app.len().min(15)]
}
