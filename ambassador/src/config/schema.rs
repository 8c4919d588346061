// SPDX-License-Identifier: Apache-2.0
//! The JSON Schema of the configuration, for editors.
//!
//! It comes from the same lines as the reader (`shape`), so it accepts no field that `check` refuses. Rules between
//! values (`perTry` within `request`, names that must exist) are beyond it.

use serde_json::{Map, Value as Json, json};

use super::raw::RawConfig;
use super::shape::Shape;

/// The schema, JSON Schema 2020-12.
pub fn schema() -> Json {
    let mut definitions = Map::new();
    let root = RawConfig::schema(&mut definitions);
    let reference = root.get("$ref").cloned().unwrap_or_default();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ambassador.yaml",
        "$ref": reference,
        "$defs": definitions,
    })
}
