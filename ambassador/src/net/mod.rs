// SPDX-License-Identifier: Apache-2.0
//! The sockets of a flow, in the order in which a connection meets them.

pub mod listen;
pub mod syn;
pub mod accept;
pub mod orig_dst;
pub mod detect;
pub mod copy;
mod buffer;
mod urgent;
pub mod dial;
mod exhaustion;
pub mod source;
pub mod presence;
pub mod probe;
#[cfg(test)]
pub(crate) mod segments;
