// SPDX-License-Identifier: Apache-2.0
//! The values of the configuration that are one of a few words.

use serde_json::{Map, Value as Json, json};

use crate::policy::matcher::Protocol;
use crate::policy::mode::Mode;
use crate::policy::retry::RetryCondition;
use crate::policy::route::{ConnectMode, OnProxyDown};

use super::hint;
use super::node::{Node, Value};
use super::problem::Problem;
use super::reader::Reader;
use super::settings::LogFormat;
use super::shape::Shape;

/// A closed set of words.
trait Words: Copy + 'static {
    /// The set, as messages call one of it.
    const WHAT: &'static str;
    /// The words.
    const WORDS: &'static [(&'static str, Self)];
    /// Words of the design that this version refuses.
    const LATER: &'static [&'static str] = &[];
}

/// The version of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
}

/// What happens to a flow that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutboundPolicy {
    Allow,
    Deny,
}

/// What a sliding window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowType {
    Count,
    Time,
}

/// A word of the set of `T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<T>(pub(crate) T);

impl<T: Words> Shape for Word<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let names = || T::WORDS.iter().map(|(word, _)| *word);
        let word = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => {
                reader.problem(node.place, Problem::expected(T::WHAT, other));
                return None;
            }
        };
        if let Some((_, value)) = T::WORDS.iter().find(|(name, _)| *name == word) {
            return Some(Self(*value));
        }
        let problem = if T::LATER.contains(&word.as_str()) {
            Problem::UnavailableWord { what: T::WHAT, word }
        } else {
            let dashed = word.replace('_', "-");
            Problem::UnknownWord {
                what: T::WHAT,
                suggestion: hint::closest(&dashed, names()),
                words: names().collect::<Vec<_>>().join(", "),
                word,
            }
        };
        reader.problem(node.place, problem);
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "enum": T::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }
}

impl Words for Version {
    const WHAT: &'static str = "a version of this document";
    const WORDS: &'static [(&'static str, Self)] = &[("v1", Self::V1)];
}

impl Words for OutboundPolicy {
    const WHAT: &'static str = "an outboundTrafficPolicy";
    const WORDS: &'static [(&'static str, Self)] = &[("Allow", Self::Allow), ("Deny", Self::Deny)];
}

impl Words for WindowType {
    const WHAT: &'static str = "a type of sliding window";
    const WORDS: &'static [(&'static str, Self)] = &[("count", Self::Count), ("time", Self::Time)];
}

impl Words for LogFormat {
    const WHAT: &'static str = "a log format";
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}

impl Words for Mode {
    const WHAT: &'static str = "a mode";
    const WORDS: &'static [(&'static str, Self)] =
        &[("enforce", Self::Enforce), ("shadow", Self::Shadow), ("off", Self::Off)];
}

impl Words for Protocol {
    const WHAT: &'static str = "a protocol";
    const WORDS: &'static [(&'static str, Self)] =
        &[("http1", Self::Http1), ("http2", Self::Http2), ("tls", Self::Tls), ("opaque", Self::Opaque)];
    const LATER: &'static [&'static str] = &["redis", "postgres"];
}

impl Words for OnProxyDown {
    const WHAT: &'static str = "an onProxyDown";
    const WORDS: &'static [(&'static str, Self)] = &[("bypass", Self::Bypass), ("refuse", Self::Refuse)];
}

impl Words for ConnectMode {
    const WHAT: &'static str = "a way to connect";
    const WORDS: &'static [(&'static str, Self)] = &[("truthful", Self::Truthful), ("eager", Self::Eager)];
}

impl Words for RetryCondition {
    const WHAT: &'static str = "a retry condition";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connect-failure", Self::ConnectFailure),
        ("refused-stream", Self::RefusedStream),
        ("reset", Self::Reset),
        ("gateway-error", Self::GatewayError),
        ("5xx", Self::ServerError),
        ("retriable-status-codes", Self::RetriableStatusCodes),
        ("retriable-4xx", Self::Retriable4xx),
        ("cancelled", Self::Cancelled),
        ("deadline-exceeded", Self::DeadlineExceeded),
        ("internal", Self::Internal),
        ("resource-exhausted", Self::ResourceExhausted),
        ("unavailable", Self::Unavailable),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_retry_condition_has_its_word() {
        for condition in RetryCondition::ALL {
            assert!(RetryCondition::WORDS.contains(&(condition.as_str(), condition)), "{condition}");
        }
    }
}
