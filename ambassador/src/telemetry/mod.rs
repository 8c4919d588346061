// SPDX-License-Identifier: Apache-2.0
//! What ambassador shows: metrics, access log, closing summary, probes.
//!
//! The data path says each fact once as an [`event::Event`]; [`Telemetry::emit`] fans it out. Nothing here waits for
//! a scraper, a log reader or a lock on the request path, nothing here decides, and no label comes from request bytes.
//!
//! Order of reading: `labels` and `event` are the vocabulary, `facade` is the door, `registry`, `observe` and `handles`
//! are the metrics, `access_log`, `summary` and `operator_log` the text, `readiness` and `scrape` the server.

#[macro_use]
pub mod labels;
pub mod access_log;
mod durations;
pub mod event;
mod facade;
#[cfg(test)]
mod fixtures;
mod handles;
mod interned;
mod interner;
mod names;
mod observe;
pub(crate) mod operator_log;
mod panics;
mod process;
pub mod readiness;
mod recorder;
mod registry;
pub(crate) mod safe_json;
pub mod scrape;
pub mod shadow;
mod shards;
pub mod summary;
mod units;

pub use facade::{ActiveConnection, Guard, Options, Telemetry, TelemetryError, WireBytes};
pub use recorder::Recorder;
pub use registry::KernelCounters;
