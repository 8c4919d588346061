// SPDX-License-Identifier: Apache-2.0
//! The configuration: what an operator writes, checked as a whole, and compiled into what the program reads.
//!
//! The way of a text: `parse` (YAML with places) → `raw` (the shapes of the document, walked by `reader`) → `compile`
//! (pure; every mistake at once) → [`settings::Config`]. A configuration is either valid or refused with all reasons;
//! nothing that was written is ever ignored.

pub mod load;
pub mod settings;

pub mod flags;

pub mod describe;
pub mod explain;
pub mod origin;
pub mod target;

pub mod problem;
pub mod report;
pub mod schema;
pub mod units;

pub mod node;
mod parse;

mod raw;
mod reader;
mod scalar;
mod shape;
mod text;
mod words;

mod compile;
mod hint;
