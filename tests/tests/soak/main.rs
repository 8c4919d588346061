// SPDX-License-Identifier: Apache-2.0
//! The hostile suites at full length: what shows only after minutes. `cargo xtask soak` runs it.

mod attacks;
mod creep;
mod readers;

use ambassador_tests::{Ambassador, Answer, Attack, FaultUpstream, Link, Siege};
use anyhow::Result;

fn siege() -> Result<Siege> {
    Siege::lay(Ambassador::run("-q")?, env!("CARGO_BIN_EXE_client"))
}

fn answering(siege: &Siege) -> Result<FaultUpstream> {
    FaultUpstream::start(&siege.link.server, Link::v4(Attack::PORT), |_| Answer::status(204).body("").into())
}

/// Says how far a test has come: it takes minutes.
fn progress(what: &str) {
    eprintln!("soak: {what}");
}
