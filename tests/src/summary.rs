// SPDX-License-Identifier: Apache-2.0
//! The closing summary of `ambassador run -o json`, as a machine reads it from stderr.
//!
//! It exists so that only this file knows the shape: one JSON object per destination, alone on its line or in an
//! array of a larger object.

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
        self.value["destination"].as_str().unwrap_or_default()
    }

    /// A field that counts: `requests`, `failures`, `retries_saved`, `bytes_sent`, `bytes_received`.
    pub fn count(&self, field: &str) -> Result<u64> {
        let number = |value: &Value| value.as_u64();
        number(&self.value[field])
            .with_context(|| format!("the summary has no number {field:?}: {}", self.value))
    }

    /// A latency in milliseconds: `p50_ms`, `p99_ms`.
    pub fn milliseconds(&self, field: &str) -> Option<f64> {
        self.value[field].as_f64()
    }

    /// The breaker's transitions in their order, as the text of each (`CLOSED`, `OPEN`, `HALF_OPEN` occur in them).
    pub fn breaker(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.value["breaker"].as_array().map(|events| events.iter().map(text).collect()).unwrap_or_default()
    }
}

/// Every destination in what ambassador wrote to stderr.
pub fn destinations(stderr: &str) -> Vec<Destination> {
    stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok())
        .flat_map(|line| found(&line))
        .collect()
}

/// The destination whose name contains `name`.
pub fn destination(stderr: &str, name: &str) -> Result<Destination> {
    let found = destinations(stderr).into_iter().find(|destination| destination.name().contains(name));
    found.with_context(|| format!("no destination {name:?} in the summary:\n{stderr}"))
}

fn found(value: &Value) -> Vec<Destination> {
    match value {
        Value::Object(fields)
            if fields.contains_key("destination") && fields.contains_key("retries_saved") =>
        {
            vec![Destination { value: value.clone() }]
        }
        Value::Object(fields) => fields.values().flat_map(found).collect(),
        Value::Array(items) => items.iter().flat_map(found).collect(),
        _ => Vec::new(),
    }
}
