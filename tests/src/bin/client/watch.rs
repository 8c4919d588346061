// SPDX-License-Identifier: Apache-2.0
//! `client watch ADDRESS`: a client that keeps asking, and tells how long it was made to wait at worst.
//!
//! It obeys stdin. `go`: it asks all the time, in turn on a connection that is kept and on a new one. `stop`: it rests,
//! once it has asked a few times, and prints `ASKED FAILED WORST_MS FIRST_ERROR` of the time since `go`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::drive::{dial, kind, say};

pub(crate) fn run(address: SocketAddr) -> Result<()> {
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    say("ready")?;
    while let Ok(command) = commands.recv() {
        ensure!(command == "go", "no such command: {command}");
        let Tally { asked, failed, worst, first } = ask_until_stopped(address, &commands);
        say(&format!("{asked} {failed} {} {}", worst.as_millis(), first.as_deref().unwrap_or("-")))?;
    }
    Ok(())
}

/// What became of the requests.
#[derive(Default)]
struct Tally {
    asked: u64,
    failed: u64,
    worst: Duration,
    first: Option<String>,
}

fn ask_until_stopped(address: SocketAddr, commands: &Receiver<String>) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    let mut stopped = false;
    while !stopped || tally.asked < AT_LEAST {
        if tally.asked % 2 == 0 {
            kept = None;
        }
        let started = Instant::now();
        let outcome = ask(address, &mut kept);
        tally.worst = tally.worst.max(started.elapsed());
        tally.asked += 1;
        if let Err(error) = outcome {
            tally.failed += 1;
            tally.first.get_or_insert(kind(&error).replace(' ', "-"));
            kept = None;
        }
        stopped |= commands.recv_timeout(PACE).is_ok();
    }
    tally
}

/// One GET on the connection that is kept, or on a new one that is then kept.
fn ask(address: SocketAddr, kept: &mut Option<BufReader<TcpStream>>) -> Result<()> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(BufReader::new(dial(address, BOUND)?)),
    };
    write!(stream.get_mut(), "GET /watched HTTP/1.1\r\nHost: bystander.example\r\n\r\n")?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head)? > 0, "end of file after {head:?}");
    }
    ensure!(head.starts_with("HTTP/1.1 204 "), "{head:?}");
    Ok(())
}

/// The bound of one request: far above what is allowed, so that it is measured and not cut off.
const BOUND: Duration = Duration::from_secs(15);
const PACE: Duration = Duration::from_millis(15);
const AT_LEAST: u64 = 20;
