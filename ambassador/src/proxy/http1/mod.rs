// SPDX-License-Identifier: Apache-2.0
//! The program's side of an HTTP/1 connection.

pub mod server;
pub mod inbound;
pub mod gone_watch;
pub mod withheld;
pub mod upload;
pub mod unclear;
pub mod pipelines;
pub mod pipeline;
pub mod reply;
pub mod relayed;
pub mod unfinished;
