// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench connect`: what a new connection costs, by when `connect()` succeeds.
//!
//! Three clients live through the whole run: one alone, one under an eager and one under a truthful ambassador. Each
//! dials one destination, which is known to accept after its first connection, and then each time another one of a
//! million addresses of the same server, none of which is dialled twice within the time for which a destination is
//! known: so all of them wait for their own destination's answer.

mod table;

use ambassador_tests::{Ambassador, Driver, Link, metrics};
use anyhow::{Context as _, Result, ensure};

use super::figures::Figures;
use super::page::page;
use super::programs::Programs;
use super::server::{Manner, Server};
use super::{benchmarks, interrupt};
use table::{Table, WAYS, Way};

/// The scenario. The lines of the goals that were missed.
pub(crate) fn run(programs: &Programs, rounds: u32, seconds: u32) -> Result<Vec<String>> {
    let mut bench = Bench::start(programs)?;
    let mut table = Table::default();
    for round in 0..rounds {
        let mut figures = [Figures::default(); WAYS.len()];
        // Each round begins with another one, so that none always follows the same.
        for turn in 0..WAYS.len() {
            interrupt::check()?;
            let which = (turn + round as usize) % WAYS.len();
            figures[which] = bench.measure(WAYS[which], seconds).with_context(|| WAYS[which].name())?;
        }
        table.push(&figures);
        println!("bench: round {} of {rounds}: {}", round + 1, table.last_round());
    }
    bench.check_ways()?;
    let command = format!("cargo xtask bench connect --rounds {rounds} --seconds {seconds}");
    let text = format!("`{command}`: {}\n\n{}", benchmarks::machine()?, table.markdown());
    println!("\n{text}");
    benchmarks::write(SCENARIO, &text)?;
    Ok(table.missed())
}

/// Both namespaces, the server and the clients.
struct Bench {
    link: Link,
    direct: Driver,
    eager: Driver,
    truthful: Driver,
    _ambassadors: [Ambassador; 2],
    server: Server,
    /// Connections to changing destinations under the truthful one, at least.
    to_be_held: f64,
}

impl Bench {
    fn start(programs: &Programs) -> Result<Self> {
        let link = Link::new()?;
        link.server.ip(&format!("route add local {MANY} dev lo"))?;
        link.client.ip(&format!("route add {MANY} via {}", Link::SERVER_V4))?;
        let server = Server::start(&link.server, Manner::Greet)?;
        let client = programs.client.as_str();
        let policy = |connect: &str, port: u16| {
            let yaml = format!(
                "version: v1\ndefaults: {{connect: {connect}}}\ntelemetry: {{metrics: {{listen: \"127.0.0.1:{port}\"}}}}\n"
            );
            Ok::<_, anyhow::Error>(Ambassador::with_policy("-q", &yaml)?.program(programs.ambassador.clone()))
        };
        let ambassadors = [policy("eager", EAGER)?, policy("truthful", TRUTHFUL)?];
        Ok(Self {
            direct: Driver::direct(&link.client, client)?,
            eager: Driver::under(&ambassadors[0], &link.client, client)?,
            truthful: Driver::under(&ambassadors[1], &link.client, client)?,
            _ambassadors: ambassadors,
            link,
            server,
            to_be_held: 0.0,
        })
    }

    fn measure(&mut self, way: Way, seconds: u32) -> Result<Figures> {
        let port = self.server.port();
        let place = if way.changes() {
            format!("{FIRST_OF_MANY} {SPAN} {port}")
        } else {
            format!("{} 1 {port}", Link::SERVER_V4)
        };
        let driver = match way {
            Way::Direct | Way::DirectMany => &mut self.direct,
            Way::Eager | Way::EagerMany => &mut self.eager,
            Way::KnownGood | Way::Truthful => &mut self.truthful,
        };
        let latency = driver.ask(&format!("latency {CONNECTIONS} {place}"))?;
        let closed = if way.changes() {
            None
        } else {
            Some(driver.ask(&format!("closed {CLOSED_CONNECTIONS} {}", Link::v4(CLOSED_PORT)))?)
        };
        let flows = driver.ask(&format!("flows {} {CONCURRENT} {place}", seconds * 1000))?;
        let figures = Figures::parse(&latency, closed.as_deref(), &flows)?;
        if matches!(way, Way::Truthful) {
            self.to_be_held += f64::from(CONNECTIONS) + figures.flows * f64::from(seconds);
        }
        Ok(figures)
    }

    /// The ways were what they are called: changing destinations were held, and the eager one held nothing.
    fn check_ways(&self) -> Result<()> {
        let held = self.held(TRUTHFUL)?;
        ensure!(
            held >= 0.99 * self.to_be_held,
            "{held} connections were held, but {} went to destinations that nobody knew",
            self.to_be_held
        );
        ensure!(self.held(EAGER)? == 0.0, "the eager ambassador held connections");
        Ok(())
    }

    /// How many connections were let in after their destination had accepted.
    fn held(&self, port: u16) -> Result<f64> {
        metrics::seconds(&page(&self.link.client, port, "/metrics")?, HELD, "outcome=\"allowed\"")
    }
}

/// The name in the command, and of its marks.
pub(crate) const SCENARIO: &str = "connect";
const HELD: &str = "ambassador_connect_hold_seconds_count";
/// The ports of their metrics.
const EAGER: u16 = 9464;
const TRUTHFUL: u16 = 9465;
/// The addresses of the server that are all dialled before one is dialled again.
const MANY: &str = "10.80.0.0/12";
const FIRST_OF_MANY: &str = "10.80.0.1";
const SPAN: u32 = 1_000_000;
/// Nobody listens there.
const CLOSED_PORT: u16 = 9;
/// Sequential connections of one round.
const CONNECTIONS: u32 = 500;
const CLOSED_CONNECTIONS: u32 = 200;
/// Threads that open connections at once.
const CONCURRENT: u32 = 64;
