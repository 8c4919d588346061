// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.0 and 1.1 on the wire, byte for byte.
//!
//! Heads and bodies are relayed as they stood on the wire; they are parsed only to know where a message ends, what
//! follows it and how to label it. What two parsers could read differently is refused. Nothing here may add, remove
//! or reorder a byte of what passes. Both ends of the proxy share this: `proxy::http1` speaks with programs,
//! `upstream::http1` with origins.

pub mod head;
pub(crate) mod known;
mod start_line;
mod names;
mod header_lines;
pub mod framing;
pub mod chunked;
pub mod peer;
pub(crate) mod wire;
