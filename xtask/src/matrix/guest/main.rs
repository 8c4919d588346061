// SPDX-License-Identifier: Apache-2.0
//! The program of the virtual machine: servers, an unmodified client, and the checks of one kernel.
//!
//! It exists as one static file, because the machine has nothing but it, busybox and ambassador. It never waits
//! without a bound: a kernel on which nothing works must end, too.
#![allow(clippy::print_stdout, reason = "stdout is the serial console, on which the guest answers")]

#[path = "../checks.rs"]
mod checks;
mod client;
mod health;
#[allow(unreachable_pub, reason = "the file is part of another crate, too")]
#[path = "../../../../tests/src/path.rs"]
mod path;
mod program;
mod servers;
mod trial;

use anyhow::Result;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("client") => client::run(),
        _ => trial::run(),
    }
}
