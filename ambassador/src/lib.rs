// SPDX-License-Identifier: Apache-2.0
//! `ambassador`: a transparent interceptor of outbound connections.
//!
//! Kernel programs redirect a cgroup's outbound connects to this proxy, which learns the original destination,
//! applies policy and connects on. The modules stand in the order in which a connection meets them; each may call
//! only those further down, or `policy` and `telemetry`.

#![deny(unsafe_code)]

pub mod clock;
pub mod cli;
pub mod app;
pub mod config;
pub mod policy;
pub mod kernel;
pub mod netns;
pub mod host;
pub mod net;
pub mod proxy;
pub mod layer;
pub mod upstream;
pub mod message;
pub mod http1;
mod http2;
pub mod telemetry;

#[global_allocator]
static ALLOCATOR: host::spare_blocks::SpareBlocks = host::spare_blocks::SpareBlocks;
