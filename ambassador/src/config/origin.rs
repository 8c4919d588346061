// SPDX-License-Identifier: Apache-2.0
//! Where each effective value comes from, so that `ambassador explain` can say it.
//!
//! Kept beside the policies, not in them: the data path never looks here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::node::Place;

/// Whose value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The default route.
    DefaultRoute,
    /// The route at this place of the table.
    Route(usize),
    /// The upstream at this place of the list.
    Upstream(usize),
}

/// Where a value comes from. Its `Display` is `ambassador.yaml:12:7`, `--retry` or `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The command line.
    Flag(&'static str),
    /// The configuration file.
    File {
        /// The file's name as given.
        file: Arc<str>,
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
    },
}

/// The origins of every value that somebody set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origins {
    file: Arc<str>,
    places: BTreeMap<(Scope, &'static str), Place>,
}

impl Origins {
    /// Nothing set yet; `file` names the configuration.
    pub(crate) fn new(file: &str) -> Self {
        Self { file: Arc::from(file), places: BTreeMap::new() }
    }

    /// Remembers that `field` (such as `retry.attempts`) of `scope` was written at `place`.
    pub(crate) fn note(&mut self, scope: Scope, field: &'static str, place: Place) {
        self.places.insert((scope, field), place);
    }

    /// Where `field` of `scope` comes from.
    pub fn of(&self, scope: Scope, field: &'static str) -> Origin {
        match self.places.get(&(scope, field)) {
            None => Origin::Default,
            Some(Place::Flag(flag)) => Origin::Flag(flag),
            Some(Place::File(span)) => {
                Origin::File { file: Arc::clone(&self.file), line: span.line, column: span.column }
            }
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Flag(flag) => formatter.write_str(flag),
            Self::File { file, line, column } => write!(formatter, "{file}:{line}:{column}"),
        }
    }
}
