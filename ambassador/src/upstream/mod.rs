// SPDX-License-Identifier: Apache-2.0
//! Where requests and flows go: the state that they share, and the connections that carry them.

pub mod state;
pub mod admission;
pub mod endpoints;
