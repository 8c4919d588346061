// SPDX-License-Identifier: Apache-2.0
//! The sockets of a flow, in the order in which a connection meets them.

mod buffer;
pub mod copy;
pub mod dial;
