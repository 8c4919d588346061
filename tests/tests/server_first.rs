// SPDX-License-Identifier: Apache-2.0
//! A server that speaks first is not delayed, and one that is spoken to late is not lost.

use std::io::{Read, Write};
use std::time::Duration;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::pulse::Pulse;
use ambassador_tests::{Ambassador, Link, Process, TcpPeer, wait};
use anyhow::{Context, Result, ensure};

/// Who is woken for one banner: the proxy for the SYN, for its dial, for the handshake and for the banner, the origin,
/// and the program twice.
const WAKES: f64 = 7.0;
/// The most of a machine's own delay that is believed, in milliseconds: a timer of ours is longer than all of it.
const BUSY_MOST: f64 = 20.0;
const BANNER: &[u8] = b"220 mail.example ready\r\n";

fn start() -> Result<(Link, TcpPeer)> {
    let link = Link::new()?;
    let peer = TcpPeer::start(&link.server, Link::v4(2525), |mut stream, _| {
        stream.write_all(BANNER)?;
        let mut farewell = [0; 5];
        stream.read_exact(&mut farewell)?;
        Ok(stream.write_all(b"221 bye\r\n")?)
    })?;
    Ok((link, peer))
}

/// Milliseconds from `connect` to the banner, of each of 50 connections, sorted.
fn times(text: &str) -> Result<Vec<f64>> {
    let mut times = text.lines().map(str::parse).collect::<Result<Vec<f64>, _>>().context(text.to_owned())?;
    ensure!(times.len() == 50, "{} connections", times.len());
    times.sort_by(f64::total_cmp);
    Ok(times)
}

#[test]
fn the_banner_comes_within_five_milliseconds_of_direct() -> Result<()> {
    let (link, _peer) = start()?;
    let program = ["/usr/bin/python3", "-c", PYTHON];
    let pulse = Pulse::feel();
    let direct = Process::run(link.client.command(program[0]).args(&program[1..]), LONG)?;
    let under = Ambassador::run("-q")?.output(&link.client, &program)?.expect_success()?;
    let pulse = pulse.worst();
    let (direct, under) = (times(&direct.expect_success()?.text())?, times(&under.text())?);
    // The first connection to a destination, whose protocol is not learned yet, is among the slowest.
    let later = |rank: usize| under[rank] - direct[rank];
    let (median, slowest, busy) = (later(25), later(49), pulse.as_secs_f64() * 1000.0);
    println!("later in ms: median {median:.1}, slowest {slowest:.1}, pulse {busy:.1}");
    // A busy machine is late now and then: that shows in the slowest. Half of all are late only by waiting.
    ensure!(median < 5.0, "the median is later by {median} ms, pulse {pulse:?}");
    let most = 50.0 + WAKES * busy.min(BUSY_MOST);
    ensure!(slowest < most, "the slowest is later by {slowest} ms, at most {most}, pulse {pulse:?}");
    Ok(())
}

#[test]
fn a_client_that_speaks_late_in_no_known_protocol_is_served() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(2526), |mut stream, _| {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes)?;
        Ok(stream.write_all(&bytes)?)
    })?;
    let ambassador = Ambassador::run("-q")?;
    let client = env!("CARGO_BIN_EXE_client");
    let mut process = ambassador.spawn(&link.client, &[client, "raw", "10.77.0.2:2526"])?;
    wait::pass(Duration::from_millis(1500));
    process.say("\u{1}\u{2}\u{3}")?;
    process.until_stdout("\u{1}\u{2}\u{3}\n", Duration::from_secs(5))?;
    process.finish(LONG)?.expect_success()?;
    Ok(())
}

const PYTHON: &str = r#"
import socket, time
for _ in range(50):
    start = time.perf_counter()
    s = socket.create_connection(("10.77.0.2", 2525))
    banner = s.recv(100)
    print((time.perf_counter() - start) * 1000)
    assert banner == b"220 mail.example ready\r\n", banner
    s.sendall(b"quit\n")
    assert s.recv(100) == b"221 bye\r\n"
    s.close()
"#;
