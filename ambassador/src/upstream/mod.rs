// SPDX-License-Identifier: Apache-2.0
//! Where requests and flows go: the state that they share, and the connections that carry them, whose they are, how
//! long they live, and one exchange on each.

pub mod state;
pub mod admission;
pub mod endpoints;
pub mod exchange;
pub mod pool;
pub(crate) mod places;
mod flow_hasher;
pub mod connection;
pub mod http1;
pub mod lease;
pub mod sending;
mod cut_head;
mod download;
pub mod http2;
mod http2_socket;
mod http2_stream;
pub(crate) mod unattended;
