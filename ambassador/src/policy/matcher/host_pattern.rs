// SPDX-License-Identifier: Apache-2.0
//! Names of hosts as a route matches them (`hosts`): how they are written, and which names they mean.
//!
//! A name comes from a program, so that matching must never fail or panic, whatever its bytes are.

use std::fmt;
use std::str::FromStr;

use crate::policy::facts::{host_without_port, without_dot};

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

impl HostPattern {
    /// Whether `name`, without a port or trailing dot and in any case, is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.eq_ignore_ascii_case(name),
            Self::Suffix(suffix) => {
                // Bytes, not chars: a name may hold any UTF-8, and a cut inside a character must not panic.
                let (name, suffix) = (name.as_bytes(), suffix.as_bytes());
                name.len() > suffix.len() && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (wildcard, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let name = without_dot(name).to_ascii_lowercase();
        if name.is_empty() {
            return Err(HostPatternError::Empty);
        }
        if name.contains('*') {
            return Err(HostPatternError::Wildcard);
        }
        if name.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(HostPatternError::NotAName);
        }
        let bare = host_without_port(&name);
        if name != bare && name != format!("[{bare}]") {
            return Err(HostPatternError::Port);
        }
        let is_address = bare.contains(':');
        if !is_address && bare.split('.').any(str::is_empty) {
            return Err(HostPatternError::Empty);
        }
        let name = bare.to_owned();
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
    /// The name, or a label between two dots, is empty.
    #[error("the name or one of its labels is empty")]
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
