// SPDX-License-Identifier: Apache-2.0
//! One intercepted connection from its first bytes to its end, one file per protocol.

pub mod held;
pub mod context;
pub mod sentinel;
pub mod connection;
mod leeway;
pub mod opaque;
mod flow_line;
pub mod tls;
pub mod http1;
pub mod http2;
mod http2_socket;
mod http2_stream;
pub mod stack;

#[cfg(test)]
mod tests;
