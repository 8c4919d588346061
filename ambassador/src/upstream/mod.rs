// SPDX-License-Identifier: Apache-2.0
//! Upstream connections: whose they are, how long they live, and one exchange on each.

pub mod download;
pub mod exchange;
pub mod http1;
pub mod http2;
pub mod pool;
