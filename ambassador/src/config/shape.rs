// SPDX-License-Identifier: Apache-2.0
//! What may stand where: one description gives the struct, its reader and its JSON Schema.
//!
//! `shape!` declares a mapping of the configuration file. Because the field list, the reading and the schema come from
//! the same lines, `ambassador schema` cannot tell something else than `ambassador check` does.

use serde_json::{Map, Value as Json, json};

use super::node::{At, Node, Value};
use super::problem::Problem;
use super::reader::Reader;

/// Something that can be read from a YAML value.
pub(crate) trait Shape: Sized {
    /// The value, or `None` after the reader was told why not.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self>;

    /// The JSON Schema of what `read` accepts; mappings put theirs into `definitions` and refer to it.
    fn schema(definitions: &mut Map<String, Json>) -> Json;
}

impl<T: Shape> Shape for Vec<At<T>> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(items.iter().filter_map(|item| reader.value(item)).collect()),
            other => {
                reader.problem(node.place, Problem::expected("a list", other));
                None
            }
        }
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        json!({ "type": "array", "items": T::schema(definitions) })
    }
}

/// A list with at least one entry: where an empty one could be read as "all" or as "none", it is refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filled<T>(pub(crate) Vec<At<T>>);

impl<T: Shape> Shape for Filled<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        if node.value == Value::List(Vec::new()) {
            reader.problem(node.place, Problem::EmptyList);
            return None;
        }
        Vec::read(node, reader).map(Self)
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        json!({ "type": "array", "minItems": 1, "items": T::schema(definitions) })
    }
}

/// Declares a mapping: `"key" => field: Type` is optional, `"key" => field: Type, required` is not.
macro_rules! shape {
    (
        $(#[doc = $doc:literal])*
        pub(crate) struct $name:ident as $what:literal {
            $( $(#[doc = $note:literal])* $key:literal => $field:ident: $kind:ty $(, $need:ident)?; )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct $name {
            $( $(#[doc = $note])* pub(crate) $field: Option<$crate::config::node::At<$kind>>, )*
            /// Something in it was refused: what is absent here may have been written.
            pub(crate) broken: bool,
        }

        impl $crate::config::shape::Shape for $name {
            fn read(
                node: &$crate::config::node::Node,
                reader: &mut $crate::config::reader::Reader,
            ) -> Option<Self> {
                let found_before = reader.diagnostics.len();
                let fields = reader.mapping(node, $what, &[$($key),*])?;
                let read = Self { $( $field: shape!(@read reader, fields, $key $(, $need)?), )* broken: false };
                Some(Self { broken: reader.diagnostics.len() > found_before, ..read })
            }

            fn schema(
                definitions: &mut serde_json::Map<String, serde_json::Value>,
            ) -> serde_json::Value {
                $crate::config::shape::object_schema(
                    definitions,
                    stringify!($name),
                    concat!($($doc),*),
                    &[$( $crate::config::shape::FieldSchema {
                        key: $key,
                        note: concat!($($note),*),
                        required: shape!(@required $($need)?),
                        schema: <$kind as $crate::config::shape::Shape>::schema,
                    } ),*],
                )
            }
        }
    };
    (@read $reader:ident, $fields:ident, $key:literal) => { $reader.optional(&$fields, $key) };
    (@read $reader:ident, $fields:ident, $key:literal, required) => { $reader.required(&$fields, $key) };
    (@required) => { false };
    (@required required) => { true };
}
pub(crate) use shape;

/// One field of a mapping, as the schema tells it.
pub(crate) struct FieldSchema {
    pub(crate) key: &'static str,
    pub(crate) note: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: fn(&mut Map<String, Json>) -> Json,
}

/// Enters a mapping into the definitions and answers the reference to it.
pub(crate) fn object_schema(
    definitions: &mut Map<String, Json>,
    name: &str,
    description: &str,
    fields: &[FieldSchema],
) -> Json {
    let name = name.trim_start_matches("Raw");
    let reference = json!({ "$ref": format!("#/$defs/{name}") });
    if definitions.contains_key(name) {
        return reference;
    }
    definitions.insert(name.to_owned(), Json::Null);
    let mut properties = Map::new();
    for field in fields {
        let mut schema = (field.schema)(definitions);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), field.note.trim().into());
        }
        properties.insert(field.key.to_owned(), schema);
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    let mut schema = json!({
        "type": "object",
        "description": description.trim(),
        "additionalProperties": false,
        "properties": properties,
    });
    if let Some(schema) = schema.as_object_mut().filter(|_| !required.is_empty()) {
        schema.insert("required".to_owned(), required.into());
    }
    definitions.insert(name.to_owned(), schema);
    reference
}
