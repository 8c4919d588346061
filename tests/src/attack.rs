// SPDX-License-Identifier: Apache-2.0
//! One of the hostile programs of `clients/hostile.py`, running among the clients of a [`Siege`].
//!
//! It exists so that the suites start and end every attack in the same way. It never judges what came of it.

use std::time::Duration;

use anyhow::Result;

use crate::process::Process;
use crate::siege::Siege;

/// A running attack.
#[derive(Debug)]
pub struct Attack {
    process: Process,
}

impl Attack {
    /// The port that every attack dials, at the server of the siege's link.
    pub const PORT: u16 = 7700;

    /// Starts the attack `name` with `count` connections, and waits until it is at its height.
    pub fn begin(siege: &Siege, name: &str, count: usize) -> Result<Self> {
        let (port, count) = (Self::PORT.to_string(), count.to_string());
        let mut process = siege.attack(&["/usr/bin/python3", SCRIPT, name, "10.77.0.2", &port, &count])?;
        process.until_stdout("held", SOON)?;
        Ok(Self { process })
    }

    /// Waits until it says a line with `text` by itself; everything that it said.
    pub fn until(&mut self, text: &str, within: Duration) -> Result<String> {
        self.process.until_stdout(text, within)?;
        Ok(self.process.stdout())
    }

    /// Ends it; what it said after its height.
    pub fn end(self) -> Result<String> {
        let said = self.process.finish(SOON)?.expect_success()?.text();
        Ok(said.trim_start_matches("held\n").trim().to_owned())
    }
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/hostile.py");
const SOON: Duration = Duration::from_secs(30);
