// SPDX-License-Identifier: Apache-2.0
//! The YAML document as a tree in which every key and value knows its place.
//!
//! Deserializing straight into structs stops at the first mistake. This tree is read once and then walked by hand
//! (`reader`), so that one run of `ambassador check` names every mistake of the file. It never interprets a value:
//! what is allowed where is said by the shapes in `raw`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A stretch of the configuration text: bytes for the snippet, line and column (from 1, in characters) for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line, from 1; 0 when the place is the file as a whole.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Where a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file.
    File(Span),
    /// On the command line, by this flag.
    Flag(&'static str),
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// What was written.
    pub value: T,
    /// Where; of an aliased value, where its anchor is.
    pub place: Place,
}

/// One YAML value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(At<String>, Node)>),
}

/// A YAML value with its place.
pub(crate) type Node = At<Value>;

impl Value {
    /// What the value is, as a message names it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Span {
    /// The span of a parser location; unknown byte offsets give an empty span at the right line and column.
    pub(crate) fn of(location: Location) -> Self {
        let narrow = |wide: u64| usize::try_from(wide).unwrap_or(usize::MAX);
        let start = narrow(location.span().byte_offset().unwrap_or(0));
        let length = narrow(location.span().byte_len().unwrap_or(0));
        Self {
            start,
            end: start.saturating_add(length),
            line: u32::try_from(location.line()).unwrap_or(u32::MAX),
            column: u32::try_from(location.column()).unwrap_or(u32::MAX),
        }
    }
}

impl<T> At<T> {
    /// A value written in the file at `location`.
    fn located(value: T, location: Location) -> Self {
        Self { value, place: Place::File(Span::of(location)) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self::located(spanned.value, spanned.defined))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Node>()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Value>>()? {
            let name = match key.value {
                Value::Text(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Float(number) => number.to_string(),
                Value::Null => "null".to_owned(),
                container @ (Value::List(_) | Value::Map(_)) => container.kind().to_owned(),
            };
            map.push((At::located(name, key.referenced), entries.next_value::<Node>()?));
        }
        Ok(Value::Map(map))
    }
}
