// SPDX-License-Identifier: Apache-2.0
//! The upstreams of the demo: one that fails now and then, one that restarts in the middle, and one that hangs.
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
/// The upstream that accepts, and answers nobody who waits for it.
pub(super) const HANGING: &str = "reports.example:8082";
/// All of them, and what is wrong with each.
pub(super) const ALL: [(&str, &str); 3] = [
    (FLAKY, "503s, resets, a slow path"),
    (RESTARTING, "restarts: refuses connects for 1.5 s"),
    (HANGING, "hangs: accepts, and does not answer"),
];
/// The lines of the client's hosts file.
pub(super) const HOSTS: [&str; 3] =
    ["10.77.0.2 payments.example", "10.77.0.2 inventory.example", "10.77.0.2 reports.example"];

/// All upstreams, running.
pub(super) struct Upstreams {
    _flaky: FaultUpstream,
    restarting: FaultUpstream,
    hanging: FaultUpstream,
    restart: Receiver<()>,
    back_at: Option<Instant>,
}

impl Upstreams {
    /// Starts all in the server's namespace.
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
        let hanging =
            FaultUpstream::start(&link.server, Link::v4(8082), |_| Answer::status(200).after(HANGS).into())?;
        Ok(Self { _flaky: flaky, restarting, hanging, restart, back_at: None })
    }

    /// How many requests have come to the one that hangs.
    pub(super) fn hung(&self) -> usize {
        self.hanging.count()
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
/// Longer than the client waits.
const HANGS: Duration = Duration::from_secs(3);
const DOWN: Duration = Duration::from_millis(1500);
