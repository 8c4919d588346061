// SPDX-License-Identifier: Apache-2.0
//! Waiting: for a condition with a deadline, or as a scripted part of a fault.
//!
//! It exists so that no test sleeps and hopes. [`until`] is the only way in which a test waits for something.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Polls `condition` until it gives a value; an error of its own ends the waiting at once.
///
/// # Errors
/// When the deadline passed; the message names `what` was awaited.
pub fn until<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {within:?}");
        }
        pass(POLL);
    }
}

/// [`until`] for a condition without a value.
pub fn until_true(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    until(what, within, || Ok(condition().then_some(())))
}

/// Lets `duration` pass, as the scripted delay of a faulty server or the pace of a client; never to wait for something.
pub fn pass(duration: Duration) {
    let (_keep, never) = channel::<()>();
    let _ = never.recv_timeout(duration);
}

const POLL: Duration = Duration::from_millis(5);
