// SPDX-License-Identifier: Apache-2.0
//! Debian's redis-server, in memory only.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::link::Link;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    // Dropped in this order: the server before its directory.
    _process: Process,
    _directory: TempDir,
}

impl Redis {
    /// Its port.
    pub const PORT: u16 = 6379;

    /// Starts it in `namespace`, and waits until it answers PING.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ambassador-redis-").tempdir()?;
        let mut command = namespace.command("redis-server");
        command.args([
            "--port",
            &Self::PORT.to_string(),
            "--bind",
            "0.0.0.0",
            "--protected-mode",
            "no",
            "--save",
            "",
        ]);
        command.args(["--appendonly", "no", "--dir"]).arg(directory.path());
        let process = Process::spawn(&mut command)?;
        wait::until_true("answer of redis-server", Duration::from_secs(10), || {
            Self::ask(namespace, &["ping"]).is_ok_and(|answer| answer == "PONG")
        })
        .with_context(|| process.stdout())?;
        Ok(Self { _process: process, _directory: directory })
    }

    /// Asks the server from its own namespace, never through ambassador.
    pub fn ask(namespace: &Namespace, words: &[&str]) -> Result<String> {
        let mut redis_cli = namespace.command("redis-cli");
        redis_cli.args(["-h", &Link::SERVER_V4.to_string(), "-p", &Self::PORT.to_string()]).args(words);
        let finished = Process::run(&mut redis_cli, Duration::from_secs(10))?.expect_success()?;
        Ok(finished.text().trim_end().to_owned())
    }
}
