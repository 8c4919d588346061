// SPDX-License-Identifier: Apache-2.0
//! Everything that reads bytes which others made, one target per reader.
//!
//! A target is a function that takes any bytes and panics if something does not hold. `cargo xtask fuzz` lets libFuzzer
//! look for such bytes; `cargo xtask test` replays what it has found of interest (`corpus/`), with stable Rust.
#![allow(clippy::missing_panics_doc, reason = "to panic is how a target says that something does not hold")]

pub mod abi;
pub mod client_hello;
pub mod configuration;
pub mod detect;
pub mod http1;
pub mod syn;

/// Checks one input.
pub type Check = fn(&[u8]);

/// All targets, by the names of their corpora.
pub const TARGETS: [(&str, Check); 6] = [
    ("abi", abi::check),
    ("client_hello", client_hello::check),
    ("configuration", configuration::check),
    ("detect", detect::check),
    ("http1", http1::check),
    ("syn", syn::check),
];
