// SPDX-License-Identifier: Apache-2.0
//! Walks the YAML tree along the shapes and collects what does not fit, instead of stopping at the first misfit.
//!
//! A field that is unknown, of a later version or of another tool's vocabulary is always refused: nothing that an
//! operator wrote is ever ignored silently.

use super::hint;
use super::node::{At, Node, Place, Span, Value};
use super::problem::Problem;
use super::report::Diagnostic;
use super::shape::Shape;

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A mapping whose keys were already checked.
pub(crate) struct Fields<'a> {
    what: &'static str,
    place: Place,
    entries: &'a [(At<String>, Node)],
}

impl Fields<'_> {
    /// How many keys there are, the refused ones included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Reader {
    /// Notes a finding.
    pub(crate) fn problem(&mut self, place: Place, problem: Problem) {
        self.diagnostics.push(Diagnostic { place, problem });
    }

    /// Reads one value and keeps its place.
    pub(crate) fn value<T: Shape>(&mut self, node: &Node) -> Option<At<T>> {
        T::read(node, self).map(|value| At { value, place: node.place })
    }

    /// The fields of a mapping; unknown keys are noted.
    pub(crate) fn mapping<'a>(
        &mut self,
        node: &'a Node,
        what: &'static str,
        known: &[&'static str],
    ) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            self.problem(node.place, Problem::no_mapping(&node.value, known));
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.value.as_str()) {
                self.problem(key.place, hint::unknown_field(what, &key.value, known));
            }
        }
        Some(Fields { what, place: node.place, entries })
    }

    /// A field that may be absent.
    pub(crate) fn optional<T: Shape>(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<At<T>> {
        let (name, node) = fields.entries.iter().find(|(name, _)| name.value == key)?;
        if node.value == Value::Null {
            self.problem(name.place, Problem::NoValue { key });
            return None;
        }
        self.value(node)
    }

    /// A field that must be there.
    pub(crate) fn required<T: Shape>(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<At<T>> {
        if fields.entries.iter().any(|(name, _)| name.value == key) {
            return self.optional(fields, key);
        }
        let place = match fields.place {
            Place::File(span) => Place::File(Span { end: span.end.max(span.start + 1), ..span }),
            flag @ Place::Flag(_) => flag,
        };
        self.problem(place, Problem::MissingField { what: fields.what, key });
        None
    }
}
