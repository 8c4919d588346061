// SPDX-License-Identifier: Apache-2.0
//! Exchanges that are written down byte by byte for both ends, and compared between the direct run and ambassador.
//!
//! It exists so that a table can say what passes on a connection, and nothing has to be said about what is expected:
//! what both ends saw of the direct run is. Every case has a port and a connection of its own.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::SockRef;

use crate::ambassador::{Ambassador, LONG};
use crate::link::Link;
use crate::listener::TcpPeer;
use crate::process::{Finished, Process};
use crate::wait;

/// What one end does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Reads until that many bytes have come in all, or the end.
    Until(usize),
    /// Lets that time pass, as the pace of a slow peer.
    Pause(Duration),
    /// Ends its side; more can still be read.
    HalfClose,
    /// Resets the connection, and does nothing more.
    Reset,
}

/// One connection, as both ends act on it. After its steps an end ends its side (the origin only) and reads until the
/// other's end.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    /// What the program does.
    pub program: Vec<Step>,
    /// What the origin does.
    pub origin: Vec<Step>,
}

/// Sends `bytes`.
pub fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// A pause that separates what is sent before and after it.
pub const BEAT: Step = Step::Pause(Duration::from_millis(150));

/// The program sends `request`; the origin reads all of it, sends `response` and ends.
pub fn exchange(name: &'static str, request: impl AsRef<[u8]>, response: impl AsRef<[u8]>) -> Case {
    let until = Step::Until(request.as_ref().len());
    Case { name, program: vec![send(request)], origin: vec![until, send(response)] }
}

/// A GET that is answered by `response`.
pub fn reply(name: &'static str, response: impl AsRef<[u8]>) -> Case {
    exchange(name, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", response)
}

/// Plays `cases` directly and under each of `ambassadors`; both ends must see the same, byte for byte, to the same end.
pub fn check(client: &str, cases: &[Case], ambassadors: &[Ambassador]) -> Result<()> {
    let scene = Scene::new(client, cases)?;
    let direct = scene.direct()?;
    let mut differences = String::new();
    for ambassador in ambassadors {
        let (under, _) = scene.under(ambassador)?;
        for ((case, direct), under) in cases.iter().zip(&direct).zip(&under).filter(|((_, a), b)| a != b) {
            let name = case.name;
            writeln!(differences, "{name} {ambassador:?}\n  direct: {direct:?}\n  under:  {under:?}")?;
        }
    }
    ensure!(differences.is_empty(), "not like the direct run:\n{differences}");
    Ok(())
}

/// Without policy, with all of them off, and with policies and a pool that have nothing to do.
pub fn in_every_mode() -> Result<[Ambassador; 3]> {
    let policy = "version: v1\ndefaults:\n  timeouts: {request: 20s, perTry: 10s}\n  retry: {attempts: 2}\n  circuitBreaker: {consecutiveFailures: 50}\n  connectionPool: {maxRequests: 100}\n";
    Ok([
        Ambassador::run("-q")?,
        Ambassador::run("-q --mode off --retry 2")?,
        Ambassador::with_policy("-q", policy)?,
    ])
}

/// The origins of some cases, and the program that plays the other side of them.
pub struct Scene {
    client: String,
    lines: String,
    cases: Vec<Case>,
    origins: Vec<(TcpPeer, Receiver<String>)>,
    link: Link,
}

/// What both ends saw of one case.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the program saw.
    pub program: String,
    /// What the origin saw, of all connections of the case.
    pub origin: String,
}

impl Scene {
    /// Starts an origin for each of `cases`; `client` is `CARGO_BIN_EXE_client`.
    pub fn new(client: &str, cases: &[Case]) -> Result<Self> {
        let link = Link::new()?;
        let mut origins = Vec::new();
        let mut lines = String::new();
        for (case, port) in cases.iter().zip(9000..) {
            let (seen, arrivals) = channel();
            let steps = case.origin.clone();
            let peer = TcpPeer::start(&link.server, Link::v4(port), move |stream, _| {
                let _ = stream.set_nodelay(true);
                Ok(seen.send(play(stream, &steps)?)?)
            })?;
            lines.push_str(&line(Link::v4(port), &case.program));
            origins.push((peer, arrivals));
        }
        Ok(Self { client: client.to_owned(), lines, cases: cases.to_vec(), origins, link })
    }

    /// Plays all cases without ambassador.
    pub fn direct(&self) -> Result<Vec<Outcome>> {
        let mut command = self.link.client.command(&self.client);
        let direct = Process::run_with_input(command.arg("exchange"), self.lines.as_bytes(), LONG)?;
        self.outcomes(&direct.expect_success()?.text())
    }

    /// Plays all cases under `ambassador`.
    pub fn under(&self, ambassador: &Ambassador) -> Result<(Vec<Outcome>, Finished)> {
        let mut command = ambassador.command(&self.link.client, &[&self.client, "exchange"]);
        let under = Process::run_with_input(&mut command, self.lines.as_bytes(), LONG)?.expect_success()?;
        Ok((self.outcomes(&under.text())?, under))
    }

    fn outcomes(&self, program: &str) -> Result<Vec<Outcome>> {
        ensure!(program.lines().count() == self.cases.len(), "the client said:\n{program}");
        let outcome = |((case, line), (_, arrivals)): ((&Case, &str), &(_, Receiver<String>))| {
            let mut origin = arrivals.recv_timeout(Duration::from_secs(10)).context(case.name)?;
            while let Ok(more) = arrivals.try_recv() {
                write!(origin, " and on another connection {more}")?;
            }
            Ok(Outcome { program: line.to_owned(), origin })
        };
        self.cases.iter().zip(program.lines()).zip(&self.origins).map(outcome).collect()
    }
}

/// Plays the origin's side and returns what it saw.
fn play(stream: &TcpStream, steps: &[Step]) -> Result<String> {
    let mut seen = Vec::new();
    stream.set_read_timeout(Some(PATIENCE))?;
    for step in steps {
        if let Went::Over(end) = perform(stream, step, &mut seen)? {
            return Ok(shown(&seen, end));
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    Ok(rest(stream, seen))
}

/// What a step led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// The next step may follow.
    On,
    /// The connection is over, in this way.
    Over(&'static str),
}

/// Performs one step on `stream`, adding what is read to `seen`. What cannot be sent any more is no error: the end
/// shows in what is read.
pub fn perform(mut stream: &TcpStream, step: &Step, seen: &mut Vec<u8>) -> Result<Went> {
    match step {
        Step::Send(bytes) => {
            let _ = stream.write_all(bytes);
        }
        Step::Until(count) => {
            let mut chunk = [0; 4096];
            while seen.len() < *count {
                match stream.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(read) => seen.extend_from_slice(&chunk[..read]),
                    Err(error) => return Ok(Went::Over(end_of(&error))),
                }
            }
        }
        Step::Pause(pause) => wait::pass(*pause),
        Step::HalfClose => {
            let _ = stream.shutdown(Shutdown::Write);
        }
        Step::Reset => {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            return Ok(Went::Over("I reset"));
        }
    }
    Ok(Went::On)
}

/// Reads to the end of `stream` and describes everything that was seen of it.
pub fn rest(mut stream: &TcpStream, mut seen: Vec<u8>) -> String {
    let mut chunk = vec![0; 64 * 1024];
    let end = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break "end",
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
            Err(error) => break end_of(&error),
        }
    };
    shown(&seen, end)
}

fn end_of(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::ConnectionReset => "reset",
        std::io::ErrorKind::WouldBlock => "still open",
        _ => "failed",
    }
}

/// The line that tells `client exchange` to connect to `address` and perform `steps`.
pub fn line(address: SocketAddr, steps: &[Step]) -> String {
    format!("{address} {}\n", words(steps))
}

fn words(steps: &[Step]) -> String {
    let word = |step: &Step| match step {
        Step::Send(bytes) => {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("send:{}", hex.concat())
        }
        Step::Until(count) => format!("until:{count}"),
        Step::Pause(pause) => format!("pause:{}", pause.as_millis()),
        Step::HalfClose => "half:".to_owned(),
        Step::Reset => "reset:".to_owned(),
    };
    steps.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Reads what `words` has written.
pub fn step(word: &str) -> Result<Step> {
    let (verb, value) = word.split_once(':').with_context(|| word.to_owned())?;
    Ok(match verb {
        "send" => {
            let digits = value.as_bytes().chunks(2).map(|pair| Ok(std::str::from_utf8(pair)?));
            let byte = |pair: Result<&str>| Ok(u8::from_str_radix(pair?, 16)?);
            Step::Send(digits.map(byte).collect::<Result<_>>()?)
        }
        "until" => Step::Until(value.parse()?),
        "pause" => Step::Pause(Duration::from_millis(value.parse()?)),
        "half" => Step::HalfClose,
        "reset" => Step::Reset,
        _ => bail!("no step: {word}"),
    })
}

/// Long contents by their length and a sum, so that a difference can still be read.
pub fn shown(seen: &[u8], end: &str) -> String {
    let start = seen[..seen.len().min(600)].escape_ascii();
    let sum = seen.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("{} bytes ({sum:x}) {start} | {end}", seen.len())
}

/// How long one end waits for the other: longer than any pause of a case.
pub const PATIENCE: Duration = Duration::from_secs(4);
