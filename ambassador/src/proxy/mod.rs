// SPDX-License-Identifier: Apache-2.0
//! One intercepted connection from its first bytes to its end, one file per protocol.

pub mod error;
pub mod flow;
pub mod tls;
