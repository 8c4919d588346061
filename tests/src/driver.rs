// SPDX-License-Identifier: Apache-2.0
//! An unmodified client that waits for commands: one long-living program, driven step by step by a test.
//!
//! It exists because a breaker or a dead proxy is seen only by a program that goes on. The commands are those of
//! `client drive` (src/bin/client).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::ambassador::Ambassador;
use crate::namespace::Namespace;
use crate::process::{Finished, Process};
use crate::wait;

/// A running `client drive`.
#[derive(Debug)]
pub struct Driver {
    process: Process,
    answered: usize,
}

impl Driver {
    /// Starts the client (`CARGO_BIN_EXE_client`) without ambassador.
    pub fn direct(namespace: &Namespace, client: &str) -> Result<Self> {
        Self::started(Process::spawn(namespace.command(client).arg("drive"))?)
    }

    /// Starts the client under ambassador.
    pub fn under(ambassador: &Ambassador, namespace: &Namespace, client: &str) -> Result<Self> {
        Self::started(ambassador.spawn(namespace, &[client, "drive"])?)
    }

    fn started(process: Process) -> Result<Self> {
        let mut driver = Self { process, answered: 0 };
        let greeting = driver.next_line(START)?;
        ensure!(greeting == "ready", "the client said {greeting:?}");
        Ok(driver)
    }

    /// Gives one command and returns its one line of answer.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.process.say(command)?;
        self.next_line(ANSWER).with_context(|| format!("the answer to {command:?}"))
    }

    /// One GET on a connection of its own: `STATUS MILLISECONDS CAUSE`, or `error KIND MILLISECONDS`.
    pub fn get(&mut self, address: SocketAddr, path: &str) -> Result<String> {
        self.ask(&format!("get {address} {path}"))
    }

    /// Whether a new connection reaches a [`crate::Witness`] `direct` or `proxied`; anything else is an error of it.
    pub fn path_to(&mut self, address: SocketAddr) -> Result<String> {
        self.ask(&format!("who {address}"))
    }

    /// What ambassador wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Sends a signal to the started process: ambassador itself, or the client of a direct run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// The started process: ambassador itself, or the client of a direct run.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Ends the client and waits for it.
    pub fn finish(self) -> Result<Finished> {
        self.process.finish(START)
    }

    fn next_line(&mut self, within: Duration) -> Result<String> {
        let line = wait::until("a line of the client", within, || {
            let text = self.process.stdout();
            let complete = text.matches('\n').count();
            if complete > self.answered {
                return Ok(text.lines().nth(self.answered).map(str::to_owned));
            }
            ensure!(self.process.is_talking(), "the client ended:\n{text}{}", self.process.stderr());
            Ok(None)
        });
        self.answered += 1;
        line.with_context(|| format!("stderr:\n{}", self.process.stderr()))
    }
}

const START: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_mins(1);
