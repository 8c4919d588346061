// SPDX-License-Identifier: Apache-2.0
//! One intercepted connection from its first bytes to its end, one file per protocol.

pub mod body;
pub mod error;
pub mod flow;
pub mod http1;
pub mod http2;
pub mod local;
pub mod message;
pub mod replay;

#[cfg(test)]
mod tests;
