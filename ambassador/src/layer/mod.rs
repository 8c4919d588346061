// SPDX-License-Identifier: Apache-2.0
//! The stages that an HTTP request passes, one file each, thin over `policy`.
//!
//! A stage is a tower service that is always ready: it decides in `call`, so a permit is never held by a request that
//! does not come.

pub mod log;
pub mod rescue;
pub mod route;
pub mod deadline;
mod overrun;
pub mod bulkhead;
pub mod admit;
pub mod retry;
pub mod sample;
pub mod per_try;
pub mod balance;

#[cfg(test)]
mod tests;
