// SPDX-License-Identifier: Apache-2.0
//! The texts of the configuration that have a grammar: names, hosts, methods, paths, programs.
//!
//! Names become labels of metrics, so they are kept to what every metrics and log system takes as it is.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use crate::policy::matcher::{HostPattern, HostPatternError, PathMatch};

use super::node::{Node, Value};
use super::problem::Problem;
use super::reader::Reader;
use super::scalar::read_text;
use super::shape::Shape;

/// The name of a route or an upstream: letters, digits, `.`, `_`, `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// The host of an endpoint: a DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) String);

/// An HTTP method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Method(pub(crate) String);

/// An HTTP path, or its beginning.
struct UrlPath(String);

/// A program's name as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App(pub(crate) String);

const LONGEST_NAME: usize = 64;
const LONGEST_HOST: usize = 253;
const LONGEST_COMM: usize = 15;
const METHODS: &[&str] = &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// A text with a grammar, and the grammar's words.
trait Grammar: Sized {
    const EXPECTED: &'static str;
    const WHAT: &'static str;

    /// The value, or why not and what to write instead.
    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)>;

    fn rule() -> Json;
}

impl<T: Grammar> Shape for T {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = read_text(T::EXPECTED, node, reader)?;
        T::parse(text)
            .map_err(|(reason, help)| {
                reader.problem(node.place, Problem::malformed(T::WHAT, text, reason, help));
            })
            .ok()
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        T::rule()
    }
}

impl Grammar for Name {
    const EXPECTED: &'static str = "a name as text";
    const WHAT: &'static str = "a name";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        if text.is_empty() {
            return Err(("it is empty", None));
        }
        if text.len() > LONGEST_NAME {
            return Err(("it is longer than 64 characters", None));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(("only letters, digits, `.`, `_` and `-` are allowed", None));
        }
        Ok(Self(text.to_owned()))
    }

    fn rule() -> Json {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" })
    }
}

impl Grammar for HostPattern {
    const EXPECTED: &'static str = "a host name as text";
    const WHAT: &'static str = "a host pattern";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        let bare = bare_host(text);
        let mend = || Some(format!("write `{bare}`")).filter(|_| bare != text && !bare.is_empty());
        let pattern: Self = text.parse().map_err(|error| match error {
            HostPatternError::Empty => ("the name is empty", None),
            HostPatternError::Wildcard => ("`*` may stand only alone or as the whole first label", None),
            HostPatternError::NotAName => ("only the host is wanted, without scheme and path", mend()),
            HostPatternError::Port => ("it names a port, which belongs into `ports`", mend()),
        })?;
        if let Self::Exact(name) = &pattern {
            check_host(name)?;
        }
        if let Self::Suffix(suffix) = &pattern {
            check_host(suffix.trim_start_matches('.'))?;
        }
        Ok(pattern)
    }

    fn rule() -> Json {
        json!({ "type": "string", "minLength": 1, "examples": ["api.example.com", "*.example.com", "*"] })
    }
}

impl Grammar for Host {
    const EXPECTED: &'static str = "a host name as text";
    const WHAT: &'static str = "a host";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        let bare = bare_host(text);
        if bare != text && text.parse::<Ipv6Addr>().is_err() {
            let help = Some(format!("write `{bare}`, the port in `port`")).filter(|_| !bare.is_empty());
            return Err(("only a name or an IP address is wanted", help));
        }
        let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        check_host(&host)?;
        Ok(Self(host))
    }

    fn rule() -> Json {
        json!({ "type": "string", "minLength": 1, "examples": ["api.example.com", "192.0.2.1", "2001:db8::1"] })
    }
}

impl Grammar for Method {
    const EXPECTED: &'static str = "an HTTP method as text";
    const WHAT: &'static str = "an HTTP method";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        let upper = text.to_ascii_uppercase();
        if upper != text && METHODS.contains(&upper.as_str()) {
            return Err(("methods are case-sensitive", Some(format!("write `{upper}`"))));
        }
        let method = http::Method::from_bytes(text.as_bytes());
        method
            .map(|method| Self(method.as_str().to_owned()))
            .map_err(|_| ("it is no token of RFC 9110", None))
    }

    fn rule() -> Json {
        json!({ "type": "string", "minLength": 1, "examples": ["GET", "POST"] })
    }
}

impl Grammar for UrlPath {
    const EXPECTED: &'static str = "a path as text";
    const WHAT: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        if !text.starts_with('/') {
            return Err((
                "it must begin with `/`",
                Some(format!("write `/{text}`")).filter(|_| !text.contains(':')),
            ));
        }
        if text.contains(['?', '#']) {
            return Err(("the query is not part of the path", None));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(("write other characters percent-encoded, as they are sent", None));
        }
        Ok(Self(text.to_owned()))
    }

    fn rule() -> Json {
        json!({ "type": "string", "pattern": "^/[^?#]*$" })
    }
}

impl Grammar for App {
    const EXPECTED: &'static str = "a program name as text";
    const WHAT: &'static str = "a program name";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        if text.is_empty() {
            return Err(("it is empty", None));
        }
        if text.contains('/') {
            let file = text.rsplit('/').next().unwrap_or_default();
            let help = Some(format!("write `{file}`")).filter(|_| !file.is_empty());
            return Err(("the kernel knows a program by its file name only", help));
        }
        if text.len() > LONGEST_COMM {
            let kept = &text[..text.floor_char_boundary(LONGEST_COMM)];
            return Err((
                "the kernel keeps only 15 bytes of a program's name",
                Some(format!("write `{kept}`")),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    fn rule() -> Json {
        json!({ "type": "string", "pattern": "^[^/]{1,15}$" })
    }
}

impl Grammar for PathBuf {
    const EXPECTED: &'static str = "a file name as text";
    const WHAT: &'static str = "a file name";

    fn parse(text: &str) -> Result<Self, (&'static str, Option<String>)> {
        if text.is_empty() || text.contains('\0') {
            return Err(("it is empty", None));
        }
        Ok(Self::from(text))
    }

    fn rule() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

impl Shape for PathMatch {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let Value::Text(text) = &node.value {
            let help = Some(format!("write `{{prefix: {text}}}` or `{{exact: {text}}}`"));
            let problem =
                Problem::Expected { expected: "`exact` or `prefix`", found: "text".to_owned(), help };
            reader.problem(node.place, problem);
            return None;
        }
        let fields = reader.mapping(node, "a path", &["exact", "prefix"])?;
        if fields.len() > 1 || matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
            reader.problem(node.place, Problem::PathForm);
            return None;
        }
        let exact = reader.optional::<UrlPath>(&fields, "exact").map(|at| Self::Exact(at.value.0));
        exact.or_else(|| reader.optional::<UrlPath>(&fields, "prefix").map(|at| Self::Prefix(at.value.0)))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        let one = |key: &str| {
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": { key: UrlPath::rule() },
                "required": [key],
            })
        };
        json!({ "anyOf": [one("exact"), one("prefix")] })
    }
}

/// `http://host:80/path` → `host`.
fn bare_host(text: &str) -> &str {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

pub(super) fn check_host(host: &str) -> Result<(), (&'static str, Option<String>)> {
    if host.is_empty() || host.len() > LONGEST_HOST {
        return Err(("a host has 1 to 253 characters", None));
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    if !host.is_ascii() {
        return Err(("write other alphabets as Punycode (`xn--…`), as DNS carries them", None));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    if host.split('.').all(label) {
        return Ok(());
    }
    Err(("each label has 1 to 63 letters, digits, `-` or `_`", None))
}
