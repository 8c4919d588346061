// SPDX-License-Identifier: Apache-2.0
//! The JSON Schema tells what `check` does.

use std::path::{Path, PathBuf};

use ambassador::config::schema::schema;
use serde_json::Value as Json;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn the_committed_schema_is_current() {
    let file = repository("ambassador/schema/ambassador.schema.json");
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    assert!(
        committed == current,
        "write it anew: ambassador schema > ambassador/schema/ambassador.schema.json"
    );
}

#[test]
fn the_schema_accepts_the_sample_and_refuses_what_check_refuses() {
    let text = std::fs::read_to_string(repository("deploy/ambassador.yaml")).unwrap();
    let sample: Json = serde_saphyr::from_str(&text).unwrap();
    let schema = schema();
    assert_eq!(mismatch(&schema, &schema, &sample), None);
    for (pointer, key, value) in [
        ("", "admin", "{}"),
        ("/routes/0", "rateLimit", "{}"),
        ("/routes/0/retry", "attempts", "101"),
        ("/routes/0/retry", "retryOn", "[\"sometimes\"]"),
        ("/routes/0/match", "hosts", "[]"),
        ("/routes/1/match/paths/0", "exact", "\"/x\""),
        ("/upstreams/0/circuitBreaker", "failureRateThreshold", "0"),
    ] {
        let mut wrong = sample.clone();
        let parent = wrong.pointer_mut(pointer).and_then(Json::as_object_mut).expect("the sample has it");
        parent.insert(key.to_owned(), serde_json::from_str(value).unwrap());
        assert!(mismatch(&schema, &schema, &wrong).is_some(), "{pointer}/{key}");
    }
}

/// The first place where `value` does not fit `schema`, by the keywords that our schema uses but `pattern`.
fn mismatch(root: &Json, schema: &Json, value: &Json) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("the reference resolves");
        return mismatch(root, target, value);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| mismatch(root, schema, value).is_none());
        return (!fits).then(|| format!("{value} fits none of {any:?}"));
    }
    if let Some(words) = schema["enum"].as_array() {
        return (!words.contains(value)).then(|| format!("{value} is none of {words:?}"));
    }
    match schema["type"].as_str().expect("every schema has a type") {
        "object" => object_mismatch(root, schema, value),
        "array" => {
            let Some(items) = value.as_array() else { return Some(format!("{value} is no list")) };
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let short = ((items.len() as u64) < least).then(|| "the list is too short".to_owned());
            short.or_else(|| items.iter().find_map(|item| mismatch(root, &schema["items"], item)))
        }
        "string" => (!value.is_string()).then(|| format!("{value} is no text")),
        "boolean" => (!value.is_boolean()).then(|| format!("{value} is no boolean")),
        "integer" | "number" => {
            let bound = |key| schema[key].as_f64().expect("every number has bounds");
            let fits =
                value.as_f64().is_some_and(|number| (bound("minimum")..=bound("maximum")).contains(&number));
            (!fits).then(|| format!("{value} is out of range"))
        }
        other => Some(format!("unknown type {other}")),
    }
}

fn object_mismatch(root: &Json, schema: &Json, value: &Json) -> Option<String> {
    assert_eq!(schema["additionalProperties"], Json::Bool(false));
    let Some(fields) = value.as_object() else { return Some(format!("{value} is no mapping")) };
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let missing =
        required.into_iter().find(|key| !fields.contains_key(*key)).map(|key| format!("{key} is missing"));
    missing.or_else(|| {
        fields.iter().find_map(|(key, field)| match schema["properties"].get(key) {
            Some(schema) => mismatch(root, schema, field),
            None => Some(format!("{key} is unknown")),
        })
    })
}
