// SPDX-License-Identifier: Apache-2.0
//! What to answer to a key or a word that does not exist here: the word of this program for a term of another tool,
//! the likely spelling, or that the feature belongs to a later version.

use super::problem::Problem;

/// Keys of the design that this version refuses, wherever they stand.
const LATER: &[&str] = &[
    "admin",
    "cache",
    "cgroups",
    "headers",
    "healthCheck",
    "loadBalancer",
    "outlierDetection",
    "pods",
    "rateLimit",
    "tls",
    "tracing",
];

/// (mapping, foreign key, what to write instead); `""` is any mapping.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("retry", "maxRetries", "attempts"),
    ("retry", "numRetries", "attempts"),
    ("retry", "retries", "attempts"),
    ("retry", "maxAttempts", "attempts"),
    ("retry", "perTryTimeout", "timeouts.perTry"),
    ("retry", "retryBackOff", "backoff"),
    ("retry", "retryBudget", "budget"),
    ("retry", "timeout", "timeouts.perTry"),
    ("retry", "statusCodes", "retriableStatusCodes"),
    ("retry.backoff", "baseInterval", "base"),
    ("retry.backoff", "initialInterval", "base"),
    ("retry.backoff", "maxInterval", "max"),
    ("retry.budget", "budgetPercent", "retryRatio"),
    ("retry.budget", "minRetryConcurrency", "minRetriesPerSecond"),
    ("timeouts", "perTryTimeout", "perTry"),
    ("timeouts", "connectTimeout", "connect"),
    ("timeouts", "requestTimeout", "request"),
    ("timeouts", "idleTimeout", "idle"),
    ("circuitBreaker", "baseEjectionTime", "waitDurationInOpenState"),
    ("circuitBreaker", "consecutive5xxErrors", "consecutiveFailures"),
    ("circuitBreaker", "consecutiveErrors", "consecutiveFailures"),
    ("circuitBreaker", "failureThreshold", "consecutiveFailures"),
    ("circuitBreaker", "maxConnections", "connectionPool.maxConnections"),
    ("circuitBreaker", "maxFailures", "consecutiveFailures"),
    ("circuitBreaker", "maxPendingRequests", "connectionPool.maxPendingRequests"),
    ("circuitBreaker", "maxRequests", "connectionPool.maxRequests"),
    ("circuitBreaker", "resetTimeout", "waitDurationInOpenState"),
    ("circuitBreaker", "slidingWindowSize", "slidingWindow.size"),
    ("circuitBreaker", "slidingWindowType", "slidingWindow.type"),
    ("connectionPool", "http1MaxPendingRequests", "maxPendingRequests"),
    ("connectionPool", "http2MaxRequests", "maxRequests"),
    ("match", "comm", "apps"),
    ("match", "domains", "hosts"),
    ("match", "process", "apps"),
    ("", "cluster", "upstream"),
    ("", "backend", "upstream"),
    ("", "destination", "upstream"),
    ("", "clusters", "upstreams"),
    ("", "circuitBreakers", "circuitBreaker"),
    ("", "perTryTimeout", "timeouts.perTry"),
    ("", "retries", "retry"),
    ("", "retryPolicy", "retry"),
    ("", "timeout", "timeouts.request"),
];

/// Keys of a route's policy, which at the top of the file belong below `defaults`.
const POLICY: &[&str] =
    &["circuitBreaker", "connect", "connectionPool", "mode", "onProxyDown", "retry", "timeouts"];

/// Keys of `match`, which are often written right below the route.
const MATCH: &[&str] = &["apps", "cidrs", "hosts", "methods", "paths", "ports", "protocol"];

/// Why `key` is refused in the mapping `what`, whose own keys are `known`.
pub(crate) fn unknown_field(what: &'static str, key: &str, known: &[&'static str]) -> Problem {
    let camel = camel_case(key);
    if LATER.contains(&camel.as_str()) {
        return Problem::UnavailableField { key: camel };
    }
    let key = key.to_owned();
    let instead = FOREIGN
        .iter()
        .find(|(mapping, foreign, _)| (mapping.is_empty() || *mapping == what) && *foreign == camel)
        .map(|(_, _, ours)| (*ours).to_owned());
    let misplaced = match what {
        "the file" if POLICY.contains(&camel.as_str()) => Some(format!("defaults.{camel}")),
        "a route" if MATCH.contains(&camel.as_str()) => Some(format!("match.{camel}")),
        "a route" if camel == "endpoints" => Some("upstreams[].endpoints".to_owned()),
        _ => None,
    };
    let known_as = known.iter().find(|known| **known == camel).map(|known| (*known).to_owned());
    let suggestion = known_as
        .or(instead)
        .or(misplaced)
        .or_else(|| closest(&camel, known.iter().copied()).map(str::to_owned));
    Problem::UnknownField { what, key, suggestion, known: known.join(", ") }
}

/// The likeliest of `words`, if any is near enough to be meant.
pub(crate) fn closest<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    words
        .map(|word| (strsim::damerau_levenshtein(&written, &word.to_ascii_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `snake_case` and `kebab-case` as camelCase.
fn camel_case(key: &str) -> String {
    let mut camel = String::with_capacity(key.len());
    let mut upper = false;
    for letter in key.chars() {
        if matches!(letter, '_' | '-') && !camel.is_empty() {
            upper = true;
        } else if upper {
            camel.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            camel.push(letter);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_become_camel_case() {
        for (written, want) in
            [("per_try", "perTry"), ("retry-on", "retryOn"), ("perTry", "perTry"), ("_x_", "_x"), ("", "")]
        {
            assert_eq!(camel_case(written), want);
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["hosts", "ports", "methods"];
        assert_eq!(closest("host", words.into_iter()), Some("hosts"));
        assert_eq!(closest("METHDOS", words.into_iter()), Some("methods"));
        assert_eq!(closest("colour", words.into_iter()), None);
    }
}
