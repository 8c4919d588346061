// SPDX-License-Identifier: Apache-2.0
//! What `ambassador run -o json` says on stderr: the closing summary, and the breaker's transitions in the log.
//!
//! It exists so that only this file knows the shapes: an object with `destinations`, one row per destination, and
//! messages of the target `ambassador::breaker`.

use anyhow::{Context, Result};
use serde_json::Value;

/// What happened to one destination.
#[derive(Debug, Clone)]
pub struct Destination {
    value: Value,
}

impl Destination {
    /// The destination's name or address.
    pub fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    /// A number of the row: `requests`, `failures`, `rescued_by_retry`, `breaker_events`, `bytes_sent`,
    /// `bytes_received`.
    pub fn count(&self, field: &str) -> Result<u64> {
        self.value[field]
            .as_u64()
            .with_context(|| format!("the summary has no number {field:?}: {}", self.value))
    }

    /// A latency in milliseconds: `p50_ms`, `p99_ms`.
    pub fn milliseconds(&self, field: &str) -> Option<f64> {
        self.value[field].as_f64()
    }
}

/// Every destination of the summary in what ambassador wrote to stderr.
pub fn destinations(stderr: &str) -> Vec<Destination> {
    let objects = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let rows = objects.filter_map(|object| object["destinations"].as_array().cloned());
    rows.flatten().map(|value| Destination { value }).collect()
}

/// The destination whose name contains `name`.
pub fn destination(stderr: &str, name: &str) -> Result<Destination> {
    let found = destinations(stderr).into_iter().find(|destination| destination.name().contains(name));
    found.with_context(|| format!("no destination {name:?} in the summary:\n{stderr}"))
}

/// What the breaker of the endpoint ending in `endpoint` did, in order: the fields of each message about it.
pub fn breaker_messages(stderr: &str, endpoint: &str) -> Vec<Value> {
    let messages = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = messages.filter(|message| message["target"] == "ambassador::breaker");
    let mut fields: Vec<Value> = fields.map(|mut message| message["fields"].take()).collect();
    fields.retain(|fields| fields["endpoint"].as_str().is_some_and(|name| name.ends_with(endpoint)));
    fields
}

/// The states that it went to, in order.
pub fn breaker_states(stderr: &str, endpoint: &str) -> Vec<String> {
    let messages = breaker_messages(stderr, endpoint);
    messages.iter().filter_map(|fields| fields["to"].as_str().map(str::to_owned)).collect()
}
