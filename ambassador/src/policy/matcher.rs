// SPDX-License-Identifier: Apache-2.0
//! What a route matches on (`match`).
//!
//! A criterion that is empty matches everything; all criteria of a route must hold. Matching is total: it never fails,
//! whatever a program sends.

use ipnet::IpNet;
use std::fmt;
use std::str::FromStr;

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

/// One entry of `hosts`. Names are kept in lower case and without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`: every name.
    Any,
    /// `*.example.com`: one or more labels before the suffix, which is kept as `.example.com`.
    Suffix(String),
    /// Exactly this name.
    Exact(String),
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (wildcard, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.is_empty() {
            return Err(HostPatternError::Empty);
        }
        if name.contains('*') {
            return Err(HostPatternError::Wildcard);
        }
        if name.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(HostPatternError::NotAName);
        }
        if !name.starts_with('[') && name.matches(':').count() == 1 {
            return Err(HostPatternError::Port);
        }
        Ok(if wildcard { Self::Suffix(format!(".{name}")) } else { Self::Exact(name) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// Why a text is no host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Nothing is left after the wildcard.
    #[error("the name is empty")]
    Empty,
    /// A `*` that is not the whole first label.
    #[error("`*` may stand only alone or as the whole first label, as in `*.example.com`")]
    Wildcard,
    /// White space or a slash: a URL, perhaps.
    #[error("only a host name is wanted, without scheme, path or spaces")]
    NotAName,
    /// `name:port`.
    #[error("the port belongs into `ports`")]
    Port,
}

/// One entry of `paths`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// The whole path (Envoy `path`).
    Exact(String),
    /// The beginning of the path, as text: `/a` also matches `/ab` (Envoy `prefix`).
    Prefix(String),
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
