// SPDX-License-Identifier: Apache-2.0
//! The JSON Schema tells what `check` does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::slice;

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
        ("/routes/2/match/paths/0", "exact", "\"/x\""),
        ("/upstreams/0/circuitBreaker", "failureRateThreshold", "0"),
    ] {
        let mut wrong = sample.clone();
        let parent = wrong.pointer_mut(pointer).and_then(Json::as_object_mut).expect("the sample has it");
        parent.insert(key.to_owned(), serde_json::from_str(value).unwrap());
        assert!(mismatch(&schema, &schema, &wrong).is_some(), "{pointer}/{key}");
    }
}

/// A field, value or form that the schema has and the sample does not show would be found by nobody.
#[test]
fn the_sample_shows_every_field_word_and_form_of_the_schema() {
    let text = std::fs::read_to_string(repository("deploy/ambassador.yaml")).unwrap();
    let sample: Json = serde_saphyr::from_str(&text).unwrap();
    let schema = schema();
    let mut shown = Shown::default();
    shown.visit(&schema, &schema, &sample);
    let words: HashSet<&str> = text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).collect();
    let mut missing = Vec::new();
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        for (key, field) in definition["properties"].as_object().expect("properties") {
            // What is the same in `defaults` and in a route is shown once.
            if !shown.fields.contains(&(key.clone(), meaning(field))) {
                missing.push(format!("{name}.{key}"));
            }
            let items = if field["type"] == "array" { &field["items"] } else { field };
            for word in items["enum"].as_array().into_iter().flatten().filter_map(Json::as_str) {
                if !words.contains(word) {
                    missing.push(format!("{name}.{key}: {word}"));
                }
            }
            for form in items["anyOf"].as_array().into_iter().flatten() {
                if !shown.forms.contains(&(key.clone(), form.to_string())) {
                    missing.push(format!("{name}.{key} as {form}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "deploy/ambassador.yaml lacks {missing:#?}");
}

/// What of the schema a document makes use of.
#[derive(Default)]
struct Shown {
    fields: HashSet<(String, String)>,
    forms: HashSet<(String, String)>,
}

impl Shown {
    fn visit(&mut self, root: &Json, schema: &Json, value: &Json) {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = root.pointer(reference.trim_start_matches('#')).expect("the reference resolves");
            return self.visit(root, target, value);
        }
        if schema["anyOf"].is_array() {
            // Its forms are told by the field that holds it; none has fields that are found only there.
            return;
        }
        for item in value.as_array().into_iter().flatten() {
            self.visit(root, &schema["items"], item);
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let field = &schema["properties"][key];
            self.fields.insert((key.clone(), meaning(field)));
            let forms = if field["type"] == "array" { &field["items"]["anyOf"] } else { &field["anyOf"] };
            for form in forms.as_array().into_iter().flatten() {
                let mut values = value.as_array().map_or(slice::from_ref(value), Vec::as_slice).iter();
                if values.any(|value| mismatch(root, form, value).is_none()) {
                    self.forms.insert((key.clone(), form.to_string()));
                }
            }
            self.visit(root, field, value);
        }
    }
}

/// What a field takes, without the words about it.
fn meaning(field: &Json) -> String {
    let mut field = field.clone();
    field.as_object_mut().expect("a field is a schema").remove("description");
    field.to_string()
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
