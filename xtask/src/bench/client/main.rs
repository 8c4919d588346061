// SPDX-License-Identifier: Apache-2.0
//! The client of the benchmarks: it measures with plain blocking sockets what each line of its stdin names.
//!
//! It knows nothing of ambassador. One line of answer each, numbers only:
//! `latency COUNT FIRST SPAN PORT` · `closed COUNT ADDRESS` · `flows MILLISECONDS THREADS FIRST SPAN PORT` ·
//! `requests MILLISECONDS THREADS ADDRESS` (of HTTP, a connection each) ·
//! `bulk MILLISECONDS ADDRESS` · `hold byte|http COUNT ADDRESS` · `run WORDS`: what another program prints.
//! A destination is the next of SPAN addresses from FIRST on; SPAN 1 is one destination.
#![allow(clippy::print_stdout, reason = "stdout is how the client answers")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

mod carry;
mod other;

fn main() -> Result<()> {
    println!("ready");
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("{}", answer(&words, &mut held)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(words: &[&str], held: &mut Vec<TcpStream>) -> Result<String> {
    Ok(match words {
        ["latency", count, place @ ..] => latency(count.parse()?, &Place::parse(place)?)?,
        ["closed", count, address] => closed(count.parse()?, address.parse()?)?,
        ["flows", milliseconds, threads, place @ ..] => {
            let length = Duration::from_millis(milliseconds.parse()?);
            let place = Place::parse(place)?;
            repeat(length, threads.parse()?, || visit(place.next()).map(drop))
        }
        ["requests", milliseconds, threads, address] => {
            let length = Duration::from_millis(milliseconds.parse()?);
            let address: SocketAddr = address.parse()?;
            repeat(length, threads.parse()?, || carry::request(&mut TcpStream::connect(address)?))
        }
        ["bulk", milliseconds, address] => {
            carry::bulk(Duration::from_millis(milliseconds.parse()?), address.parse()?)?
        }
        ["hold", kind, count, address] => carry::hold(kind, count.parse()?, address.parse()?, held)?,
        ["run", program, arguments @ ..] => other::run(program, arguments)?,
        _ => bail!("no such command: {words:?}"),
    })
}

/// `CONNECT-P50 CONNECT-P99 FIRST-P50 FIRST-P99` in nanoseconds; both are counted from before `connect()`.
fn latency(count: usize, place: &Place) -> Result<String> {
    let mut connects = Vec::with_capacity(count);
    let mut firsts = Vec::with_capacity(count);
    for number in 0..count + WARM_UP {
        let (connect, first) = visit(place.next()).with_context(|| format!("connection {number}"))?;
        if number >= WARM_UP {
            connects.push(connect);
            firsts.push(first);
        }
    }
    let (connects, firsts) = (percentiles(connects)?, percentiles(firsts)?);
    Ok(format!("{} {} {} {}", connects.0, connects.1, firsts.0, firsts.1))
}

/// `P50 P99 REFUSED` until the program knows that nobody listens, and whether all were told by `connect()` itself.
fn closed(count: usize, address: SocketAddr) -> Result<String> {
    let mut times = Vec::with_capacity(count);
    let mut refused = 0;
    for _ in 0..count {
        let started = Instant::now();
        match TcpStream::connect(address) {
            Err(_) => refused += 1,
            Ok(mut stream) => {
                let end = stream.read(&mut [0]);
                anyhow::ensure!(!matches!(end, Ok(1)), "somebody listens at {address}");
            }
        }
        times.push(started.elapsed());
    }
    let times = percentiles(times)?;
    Ok(format!("{} {} {}", times.0, times.1, u8::from(refused == count)))
}

/// `DONE FAILURES NANOSECONDS`: connections that were opened, served and ended within the time.
fn repeat(length: Duration, threads: usize, work: impl Fn() -> Result<()> + Sync) -> String {
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < length {
                    let counter = if work().is_ok() { &done } else { &failed };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let took = started.elapsed().as_nanos();
    format!("{} {} {took}", done.into_inner(), failed.into_inner())
}

/// One connection: the server sends a byte as soon as it accepts, and ends. The client ends second, so that its port is
/// free at once.
fn visit(address: SocketAddr) -> Result<(Duration, Duration)> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    let connect = started.elapsed();
    stream.read_exact(&mut [0])?;
    let first = started.elapsed();
    if stream.read(&mut [0])? != 0 {
        bail!("the server sends one byte");
    }
    Ok((connect, first))
}

/// Where the connections go.
struct Place {
    first: Ipv4Addr,
    span: u32,
    port: u16,
}

impl Place {
    fn parse(words: &[&str]) -> Result<Self> {
        let [first, span, port] = words else { bail!("FIRST SPAN PORT") };
        Ok(Self { first: first.parse()?, span: span.parse()?, port: port.parse()? })
    }

    /// The next address, across all commands: none is dialled again before all others were.
    fn next(&self) -> SocketAddr {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % self.span;
        let ip = Ipv4Addr::from_bits(self.first.to_bits() + number);
        SocketAddrV4::new(ip, self.port).into()
    }
}

/// The median and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> Result<(u128, u128)> {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map(Duration::as_nanos);
    at(50).zip(at(99)).context("nothing was measured")
}

const WARM_UP: usize = 20;
static NEXT: AtomicU32 = AtomicU32::new(0);
