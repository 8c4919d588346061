// SPDX-License-Identifier: Apache-2.0
//! Everything that can be wrong with a configuration, in words that say what to write instead.
//!
//! `Display` names the mistake in one line; `help` says how to mend it. The place is kept apart, in `Diagnostic`.

use serde::Serialize;

use super::node::Value;

/// Whether a finding refuses the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used; what is said was probably not meant.
    Warning,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it and its fields mean")]
pub enum Problem {
    #[error("cannot read the configuration: {reason}")]
    Unreadable { reason: String },
    #[error("the file is not UTF-8 text")]
    NotUtf8,
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the file is empty")]
    EmptyFile,
    #[error("not valid YAML: {message}")]
    Syntax { message: String },
    #[error("the alias cannot be resolved: {reason}")]
    Alias { reason: &'static str },
    #[error("the file holds several YAML documents; only one is read")]
    SeveralDocuments,
    #[error("`{key}` is written twice in the same mapping")]
    DuplicateKey { key: String },

    #[error("unknown field `{key}` in {what}")]
    UnknownField { what: &'static str, key: String, suggestion: Option<String>, known: String },
    #[error("`{key}` is not available in this version of ambassador")]
    UnavailableField { key: String },
    #[error("`{key}` has no value")]
    NoValue { key: &'static str },
    #[error("`{key}` is missing in {what}")]
    MissingField { what: &'static str, key: &'static str },
    #[error("expected {expected}, found {found}")]
    Expected { expected: &'static str, found: String, help: Option<String> },
    #[error("`{word}` is not {what}")]
    UnknownWord { what: &'static str, word: String, suggestion: Option<&'static str>, words: String },
    #[error("{what} `{word}` is not available in this version of ambassador")]
    UnavailableWord { what: &'static str, word: String },
    #[error("`{text}` is not {what}: {reason}")]
    Malformed { what: &'static str, text: String, reason: &'static str, help: Option<String> },

    #[error("two {kind} are named `{name}`; the first is in line {first}")]
    DuplicateName { kind: &'static str, name: String, first: u32 },
    #[error("there is no upstream `{name}`")]
    UnknownUpstream { name: String, suggestion: Option<String> },
    #[error("the list is empty")]
    EmptyList,
    #[error("a path is either `exact` or `prefix`")]
    PathForm,
    #[error("the name `{name}` is reserved")]
    ReservedName { name: &'static str },
    #[error("`{key}` can never match where `protocol` is {protocol}")]
    NeverMatches { key: &'static str, protocol: &'static str },
    #[error("the timeout of one try ({per_try:?}) is longer than that of the whole request ({request:?})")]
    PerTryOverRequest { per_try: std::time::Duration, request: std::time::Duration },
    #[error(
        "the timeout of the connection ({connect:?}) is longer than that of the whole request ({request:?})"
    )]
    ConnectOverRequest { connect: std::time::Duration, request: std::time::Duration },
    #[error("`retry` without `attempts` never retries")]
    RetryWithoutAttempts,
    #[error("`retryOn: [retriable-status-codes]` needs `retriableStatusCodes`")]
    NoStatusCodes,
    #[error("`retriableStatusCodes` has no effect without `retriable-status-codes` in `retryOn`")]
    UnusedStatusCodes,
    #[error("`retryOn` names gRPC statuses, but every gRPC call is a POST, which no status lets repeat")]
    GrpcNotIdempotent,
    #[error("a failed connect is not retried: that it is this route's only first bytes could tell")]
    UnknownConnects,
    #[error("`idempotent` can be declared of a route only, not of every destination")]
    IdempotentDefaults,
    #[error("`backoff.base` ({base:?}) is longer than `backoff.max` ({max:?})")]
    BackoffOverMax { base: std::time::Duration, max: std::time::Duration },
    #[error("`circuitBreaker` names no threshold, so it would never open")]
    BreakerWithoutThreshold,
    #[error("`minimumNumberOfCalls` ({minimum}) can never be reached in a window of {size} calls")]
    MinimumOverWindow { minimum: u32, size: u32 },
    #[error("`slowCallRateThreshold` needs `slowCallDurationThreshold`")]
    SlowRateWithoutDuration,
    #[error("`slidingWindow.size` of a {kind} window must be {wanted}")]
    WindowSize { kind: &'static str, wanted: &'static str },
    #[error(
        "`connectionPool.maxPendingRequests` ({pending}) has no effect without `maxConnections` or `maxRequests`"
    )]
    PendingWithoutLimit { pending: u32 },

    #[error("route `{route}` is never reached: route `{earlier}` matches everything that it matches")]
    ShadowedRoute { route: String, earlier: String },
    #[error("no route uses upstream `{name}`")]
    UnusedUpstream { name: String },
    #[error(
        "route `{route}` sends whatever address a program dials to the endpoints of upstream `{upstream}`"
    )]
    EveryAddress { route: String, upstream: String },
}

impl Problem {
    /// `expected` against the value that was found, with a hint where a slip of YAML is likely.
    pub(crate) fn expected(expected: &'static str, found: &Value) -> Self {
        let help = match found {
            Value::Text(text) if text.parse::<f64>().is_ok() && expected.contains("number") => {
                Some("remove the quotes".to_owned())
            }
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) if expected.contains("text") => {
                Some("put it in quotes".to_owned())
            }
            Value::Text(_) | Value::Integer(_) | Value::Bool(_) if expected == "a list" => {
                Some(format!("write `[{}]`", shown(found)))
            }
            _ => None,
        };
        Self::Expected { expected, found: found_words(found), help }
    }

    /// Something else than a mapping of the fields `known`.
    pub(crate) fn no_mapping(found: &Value, known: &[&str]) -> Self {
        let help = Some(format!("its fields: {}", known.join(", ")));
        Self::Expected { expected: "a mapping (`key: value`)", found: found_words(found), help }
    }

    /// A text that does not follow its grammar.
    pub(crate) fn malformed(
        what: &'static str,
        text: &str,
        reason: &'static str,
        help: Option<String>,
    ) -> Self {
        Self::Malformed { what, text: shortened(text), reason, help }
    }

    /// Whether the configuration is refused for it.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ShadowedRoute { .. }
            | Self::UnusedUpstream { .. }
            | Self::EveryAddress { .. }
            | Self::ConnectOverRequest { .. }
            | Self::GrpcNotIdempotent
            | Self::UnknownConnects
            | Self::PendingWithoutLimit { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::UnknownField { suggestion, known, .. } => {
                return Some(match suggestion {
                    Some(suggestion) => format!("did you mean `{suggestion}`?"),
                    None => format!("known fields: {known}"),
                });
            }
            Self::UnknownWord { suggestion, words, .. } => {
                return Some(match suggestion {
                    Some(suggestion) if matches!(words.split(',').count(), 2..=4) => {
                        format!("did you mean `{suggestion}`? It is one of: {words}")
                    }
                    Some(suggestion) => format!("did you mean `{suggestion}`?"),
                    None => format!("write one of: {words}"),
                });
            }
            Self::UnavailableField { .. } | Self::UnavailableWord { .. } => "remove it",
            Self::Expected { help, .. } | Self::Malformed { help, .. } => return help.clone(),
            Self::NotUtf8 => "save it as UTF-8",
            Self::TooLarge { .. } => "is it the right file?",
            Self::EmptyFile => "the smallest configuration is `version: v1`",
            Self::Syntax { message } if message.contains("tab") => {
                "indent with spaces; YAML allows no tabs there"
            }
            Self::Syntax { message } if message.contains("limit") => {
                "the file nests too deeply or repeats too much"
            }
            Self::Syntax { message } if message.contains("tag") => "remove the tag",
            Self::Syntax { .. } => {
                "often a missing quote, bracket or space after `:` on this line or the one before"
            }
            Self::SeveralDocuments => {
                "remove the `---` and what follows it, or put it into a file of its own"
            }
            Self::DuplicateKey { .. } | Self::DuplicateName { .. } => "rename or remove one of them",
            Self::NoValue { .. } => "give it a value or remove it",
            Self::EmptyList => "list at least one value, or remove it",
            Self::MissingField { key: "version", .. } => "write `version: v1`",
            Self::UnknownUpstream { suggestion: Some(name), .. } => {
                return Some(format!("did you mean `{name}`?"));
            }
            Self::UnknownUpstream { .. } => "declare it below `upstreams`",
            Self::PerTryOverRequest { .. } => "shorten `perTry` or lengthen `request`",
            Self::ConnectOverRequest { .. } => "the request ends first; shorten `connect`",
            Self::RetryWithoutAttempts => "add for example `attempts: 3`",
            Self::NoStatusCodes => "add for example `retriableStatusCodes: [429]`",
            Self::UnusedStatusCodes => "add `retriable-status-codes` to `retryOn`",
            Self::GrpcNotIdempotent => {
                "add `idempotent: true` to the route's `retry` if each of its calls may be sent twice; `idempotent: false` \
                 if only those with an `Idempotency-Key` may"
            }
            Self::UnknownConnects => {
                "match by `cidrs`, `ports` or full names in `hosts`, not by wildcards, `methods`, `paths` or `protocol`; or \
                 write `connect: eager`, so that a connect succeeds at once and its request is retried"
            }
            Self::IdempotentDefaults => {
                "move it to the `retry` of the routes whose requests may all be sent twice"
            }
            Self::BackoffOverMax { .. } => "shorten `base` or lengthen `max`",
            Self::BreakerWithoutThreshold => {
                "add for example `consecutiveFailures: 5` or `failureRateThreshold: 50`"
            }
            Self::MinimumOverWindow { .. } => "lower `minimumNumberOfCalls` or enlarge `slidingWindow.size`",
            Self::SlowRateWithoutDuration => "add for example `slowCallDurationThreshold: 2s`",
            Self::PendingWithoutLimit { .. } => {
                "requests wait only for a limit; add `maxConnections` or `maxRequests`"
            }
            Self::PathForm => "write one of them; a further path is an entry of its own",
            Self::ReservedName { .. } => "it names what no route matches; choose another",
            Self::NeverMatches { .. } => "only HTTP has it; remove it, or write `protocol: http1`",
            Self::ShadowedRoute { .. } => "the first matching route wins; move the narrower route up",
            Self::UnusedUpstream { .. } => "name it in a route's `upstream`, or remove it",
            Self::EveryAddress { .. } => {
                "say which are meant by `hosts` or `cidrs`, or that all are: `hosts: [\"*\"]`"
            }
            _ => return None,
        };
        Some(fixed.to_owned())
    }
}

/// What a value is, and which, in words.
fn found_words(value: &Value) -> String {
    match value {
        Value::Text(_) => format!("text `{}`", shown(value)),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) => format!("`{}`", shown(value)),
        Value::Null | Value::List(_) | Value::Map(_) => value.kind().to_owned(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => shortened(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => value.kind().to_owned(),
    }
}

/// The first line of a text, cut so that a message stays readable.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 48;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST).chain(['…']).collect()
}
