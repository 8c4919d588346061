// SPDX-License-Identifier: Apache-2.0
//! The upstreams of the demo: one that fails now and then, and one that restarts in the middle.
//!
//! What fails is a function of the request, so that the direct run and the run under ambassador meet the same faults.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ambassador_tests::http::Arrival;
use ambassador_tests::{Answer, FaultUpstream, Link, Reply, wait};
use anyhow::Result;

/// The upstream of 503s, resets and a slow path, as the client dials it.
pub(super) const FLAKY: &str = "payments.example:8080";
/// The upstream that refuses connections for a while.
pub(super) const RESTARTING: &str = "inventory.example:8081";
/// The lines of the client's hosts file.
pub(super) const HOSTS: [&str; 2] = ["10.77.0.2 payments.example", "10.77.0.2 inventory.example"];

/// Both upstreams, running.
pub(super) struct Upstreams {
    _flaky: FaultUpstream,
    restarting: FaultUpstream,
    restart: Receiver<()>,
    back_at: Option<Instant>,
}

impl Upstreams {
    /// Starts both in the server's namespace.
    pub(super) fn start(link: &Link) -> Result<Self> {
        let seen = Mutex::new(HashMap::<String, u32>::new());
        let flaky = FaultUpstream::start(&link.server, Link::v4(8080), move |arrival| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let tries = seen.entry(arrival.path.clone()).or_default();
            *tries += 1;
            if *tries == 1 { fault_of(arrival) } else { Answer::status(200).into() }
        })?;
        let (sender, restart) = channel();
        let restarting = FaultUpstream::start(&link.server, Link::v4(8081), move |arrival| {
            if number(arrival) == RESTART_AT {
                let _ = sender.send(());
            }
            Answer::status(200).into()
        })?;
        Ok(Self { _flaky: flaky, restarting, restart, back_at: None })
    }

    /// Goes down when it was asked to, and up again when its time has come.
    pub(super) fn tick(&mut self, link: &Link) -> Result<()> {
        wait::pass(Duration::from_millis(10));
        if self.restart.try_recv().is_ok() {
            self.restarting.tcp.refuse();
            self.restarting.tcp.hang_up();
            self.back_at = Some(Instant::now() + DOWN);
        }
        if self.back_at.is_some_and(|back_at| Instant::now() >= back_at) {
            self.restarting.tcp.listen(&link.server)?;
            self.back_at = None;
        }
        Ok(())
    }
}

/// What happens to the first try of a request; a repeated one is answered.
fn fault_of(arrival: &Arrival) -> Reply {
    let slow = Answer::status(200).after(Duration::from_secs(1));
    match number(arrival) {
        number if number % 6 == 2 => Answer::status(503).into(),
        number if number % 9 == 4 => Reply::Reset,
        number if number % 20 == 15 => slow.into(),
        _ => Answer::status(200).into(),
    }
}

/// The number at the end of the path.
fn number(arrival: &Arrival) -> u32 {
    arrival.path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

const RESTART_AT: u32 = 15;
const DOWN: Duration = Duration::from_millis(1500);
