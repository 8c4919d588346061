// SPDX-License-Identifier: Apache-2.0
//! Wires everything together; the order of start and stop is visible here and nowhere else.

pub mod doctor;
mod duties;
mod heartbeat;
mod interception;
mod open_files;
mod places;
mod proxy;
mod proxy_down;
mod run;
mod self_test;
mod worker;

pub use run::{AppError, RunOptions, kernel_counters, run};
pub use self_test::SelfTestError;
