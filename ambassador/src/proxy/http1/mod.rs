// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.0 and 1.1, byte for byte.
//!
//! Heads and bodies are relayed as they stood on the wire; they are parsed only to know where a message ends, what
//! follows it and how to label it. What two parsers could read differently is refused. Nothing here may add, remove
//! or reorder a byte of what passes.

pub mod chunked;
pub mod framing;
pub mod head;
pub mod inbound;
pub mod peer;
pub mod reply;
pub mod server;
pub mod upgrade;
pub(crate) mod wire;
