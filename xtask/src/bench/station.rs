// SPDX-License-Identifier: Apache-2.0
//! One contender at work: its namespace, its proxy, and the program whose connections it carries.

use std::net::SocketAddrV4;
use std::time::Duration;

use ambassador_tests::{Ambassador, Driver, Process, wait};
use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use super::contender::{Contender, Peer, ambassador};
use super::programs::Programs;
use super::usage::{self, Memory};
use super::world::{Place, Service};

/// A running contender.
pub(crate) struct Station {
    contender: Contender,
    // Dropped in this order: the program (and ambassador with it), the proxy, the namespace.
    driver: Driver,
    proxy: Proxy,
    place: Place,
}

/// What carries the connections.
enum Proxy {
    None,
    Ambassador { _guard: Ambassador },
    Peer(Peer),
}

/// What one load was.
pub(crate) struct Load {
    /// The figure of the scenario.
    pub(crate) main: f64,
    /// Requests, connections or gigabytes.
    pub(crate) units: f64,
    /// Requests or connections that the contender must have counted at least.
    pub(crate) carried: f64,
}

/// One round of one contender; what there is none of is NaN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The figure of the scenario.
    pub(crate) main: f64,
    /// What it cost.
    pub(crate) cost: f64,
}

impl Station {
    /// Starts the proxy, and the program that will use it.
    pub(crate) fn start(contender: Contender, programs: &Programs, place: Place) -> Result<Self> {
        let (client, namespace) = (programs.client.as_str(), &place.namespace);
        let (driver, proxy) = match contender {
            Contender::Direct => (Driver::direct(namespace, client)?, Proxy::None),
            Contender::Ambassador => {
                let guard = ambassador::prepare(programs, &place)?;
                (Driver::under(&guard, namespace, client)?, Proxy::Ambassador { _guard: guard })
            }
            Contender::Envoy | Contender::Haproxy | Contender::Nginx | Contender::Relay => {
                let peer = Peer::start(contender, programs, &place)?;
                (Driver::direct(namespace, client)?, Proxy::Peer(peer))
            }
        };
        Ok(Self { contender, driver, proxy, place })
    }

    /// What its program dials.
    pub(crate) fn destination(&self) -> SocketAddrV4 {
        self.contender.dialled().unwrap_or(self.place.destination)
    }

    /// One command to the program, and its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        self.driver.ask(command)
    }

    /// What the program prints that `words` name, run beside the client of the benchmarks.
    pub(crate) fn output(&mut self, words: &str) -> Result<String> {
        Ok(self.ask(&format!("run {words}"))?.replace(SEPARATOR, "\n"))
    }

    /// Connections that were opened in its namespace until now (`ActiveOpens`).
    pub(crate) fn opened(&self) -> Result<f64> {
        let path = "/proc/thread-self/net/snmp";
        let text = self
            .place
            .namespace
            .enter(|| std::fs::read_to_string(path).with_context(|| format!("read {path}")))?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = lines.next().zip(lines.next()).context("no counters of TCP")?;
        let mut pairs = names.split(' ').zip(values.split(' '));
        let (_, value) = pairs.find(|(name, _)| *name == "ActiveOpens").context("no ActiveOpens")?;
        Ok(value.parse()?)
    }

    /// Lets `load` run, and divides the proxy's processor time by its units, µs. Fails if the proxy did not carry it.
    pub(crate) fn loaded(&mut self, load: impl FnOnce(&mut Self) -> Result<Load>) -> Result<Sample> {
        let processes = self.processes();
        let (counted, spent) = (self.counted()?, usage::processor_time(&processes)?);
        let load = load(self)?;
        let (now_counted, now_spent) = (self.counted()?, usage::processor_time(&processes)?);
        ensure!(load.units > 0.0, "nothing was carried");
        let Some((before, after)) = counted.zip(now_counted) else {
            return Ok(Sample { main: load.main, cost: f64::NAN });
        };
        let carried = after - before;
        ensure!(carried >= load.carried, "it carried {carried} of {}", load.carried);
        Ok(Sample { main: load.main, cost: (now_spent - spent) * 1e6 / load.units })
    }

    /// The memory of the proxy, once it no longer changes.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let processes = self.processes();
        let mut last = Memory::default();
        wait::until("memory that no longer changes", SETTLE, || {
            let before = std::mem::replace(&mut last, usage::memory(&processes)?);
            wait::pass(BETWEEN_LOOKS);
            Ok(((last.resident - before.resident).abs() < SAME_KIB).then_some(last))
        })
    }

    /// All processes of the proxy.
    fn processes(&self) -> Vec<Pid> {
        match &self.proxy {
            Proxy::None => Vec::new(),
            // What is below it is the program.
            Proxy::Ambassador { .. } => vec![self.driver.pid()],
            Proxy::Peer(peer) => usage::family(peer.process.pid()),
        }
    }

    fn counted(&self) -> Result<Option<f64>> {
        if self.place.service == Service::Excluded {
            return Ok(None);
        }
        self.contender.counted(&self.place.namespace, self.place.service)
    }
}

/// Waits until `is_ready`, or says what `process` said when it ended.
pub(crate) fn ready(name: &str, process: &mut Process, is_ready: impl Fn() -> bool) -> Result<()> {
    let outcome = wait::until(name, START, || {
        ensure!(process.is_running(), "{name} ended");
        Ok(is_ready().then_some(()))
    });
    outcome.with_context(|| format!("{}{}", process.stdout(), process.stderr()))
}

/// What stands for the end of a line in an answer of the client, and for a space in an argument.
pub(crate) const SEPARATOR: char = '\u{1f}';
const START: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const SAME_KIB: f64 = 33.0;
