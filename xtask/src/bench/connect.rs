// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench connect`: what a new connection costs, by when `connect()` succeeds.
//!
//! Three clients live through the whole run: one alone, one under an eager and one under a truthful ambassador. Each
//! dials one destination, which is known to accept after its first connection, and then each time another one of a
//! million addresses of the same server, none of which is dialled twice within the time for which a destination is
//! known: so all of them wait for their own destination's answer.

mod table;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};

use ambassador_tests::{Ambassador, Driver, Link};
use anyhow::{Context as _, Result, bail, ensure};

use super::figures::Figures;
use super::{benchmarks, server};
use crate::setup;
use crate::steps::{built, cargo, is_root, run_command};
use table::{Table, WAYS, Way};

/// The scenario.
pub(crate) fn run(rounds: u32, seconds: f64) -> Result<()> {
    ensure!(
        is_root(),
        "the bench loads kernel programs and makes namespaces: sudo -E cargo xtask bench connect"
    );
    ensure!(seconds.is_finite() && seconds > 0.0, "--seconds {seconds}: a time above 0");
    ensure!(benchmarks::has_marks(SCENARIO), "BENCHMARKS.md has no marks of {SCENARIO}");
    setup::run()?;
    println!("bench: building ambassador for release …");
    run_command(&mut cargo(&["build", "--quiet", "--release", "--package=ambassador"]))?;
    run_command(&mut cargo(&["build", "--quiet", "--package=xtask", "--bin=bench-client"]))?;

    let mut bench = Bench::start()?;
    let mut table = Table::default();
    for round in 0..rounds {
        let mut figures = [Figures::default(); WAYS.len()];
        // Each round begins with another one, so that none always follows the same.
        for turn in 0..WAYS.len() {
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
    benchmarks::write(SCENARIO, &text)
}

/// Both namespaces, the server and the clients.
struct Bench {
    link: Link,
    direct: Driver,
    eager: Driver,
    truthful: Driver,
    _ambassadors: [Ambassador; 2],
    port: u16,
    /// Connections to changing destinations under the truthful one, at least.
    to_be_held: f64,
}

impl Bench {
    fn start() -> Result<Self> {
        let link = Link::new()?;
        link.server.ip(&format!("route add local {MANY} dev lo"))?;
        link.client.ip(&format!("route add {MANY} via {}", Link::SERVER_V4))?;
        let port = server::start(&link.server)?;
        let client = built("bench-client");
        let client = client.to_str().context("the path of the client is no text")?;
        let program = released("ambassador");
        let policy = |connect: &str, metrics: SocketAddr| {
            let yaml = format!(
                "version: v1\ndefaults: {{connect: {connect}}}\ntelemetry: {{metrics: {{listen: \"{metrics}\"}}}}\n"
            );
            Ok::<_, anyhow::Error>(Ambassador::with_policy("-q", &yaml)?.program(program.clone()))
        };
        let ambassadors = [policy("eager", metrics(9464))?, policy("truthful", metrics(9465))?];
        Ok(Self {
            direct: Driver::direct(&link.client, client)?,
            eager: Driver::under(&ambassadors[0], &link.client, client)?,
            truthful: Driver::under(&ambassadors[1], &link.client, client)?,
            _ambassadors: ambassadors,
            link,
            port,
            to_be_held: 0.0,
        })
    }

    fn measure(&mut self, way: Way, seconds: f64) -> Result<Figures> {
        let port = self.port;
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
        let flows = driver.ask(&format!("flows {:.0} {CONCURRENT} {place}", seconds * 1000.0))?;
        let figures = Figures::parse(&latency, closed.as_deref(), &flows)?;
        if matches!(way, Way::Truthful) {
            self.to_be_held += f64::from(CONNECTIONS) + figures.flows * seconds;
        }
        Ok(figures)
    }

    /// The ways were what they are called: changing destinations were held, and the eager one held nothing.
    fn check_ways(&self) -> Result<()> {
        let held = self.held(9465)?;
        ensure!(
            held >= 0.99 * self.to_be_held,
            "{held} connections were held, but {} went to destinations that nobody knew",
            self.to_be_held
        );
        ensure!(self.held(9464)? == 0.0, "the eager ambassador held connections");
        Ok(())
    }

    /// How many connections were let in after their destination had accepted.
    fn held(&self, port: u16) -> Result<f64> {
        let page = self.link.client.enter(move || {
            let mut stream = TcpStream::connect(metrics(port)).context("dial the metrics")?;
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        })?;
        if !page.contains(" 200 ") {
            bail!("the metrics: {page}");
        }
        let mut lines = page.lines().filter(|line| line.starts_with(HELD));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        lines.try_fold(0.0, |sum, line| Some(sum + value(line)?)).context("a value of the metrics")
    }
}

fn metrics(port: u16) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
}

/// Where cargo puts the program `name` of a release build.
fn released(name: &str) -> PathBuf {
    let debug = built(name);
    let target = debug.ancestors().nth(2).unwrap_or(Path::new("."));
    target.join("release").join(name)
}

const SCENARIO: &str = "connect";
const HELD: &str = "ambassador_connect_hold_seconds_count{outcome=\"allowed\"";
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
