// SPDX-License-Identifier: Apache-2.0
//! A long-living client: one command per line of stdin, one line of answer each.
//!
//! `get ADDRESS PATH` · `burst N ADDRESS PATH` (at once, sorted) · `who ADDRESS` · `ping ADDRESS` (Redis) ·
//! `keep ADDRESS PATH` (GET on a connection that stays open between the commands).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ambassador_tests::path::path;
use anyhow::{Context, Result, bail};

pub(crate) fn run() -> Result<()> {
    say("ready")?;
    let mut kept = None;
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["keep", address, path] = words.as_slice() {
            let answer = keep(&mut kept, address.parse()?, path).unwrap_or_else(|error| kind(&error));
            say(&answer)?;
            continue;
        }
        say(&answer(&words)?)?;
    }
    Ok(())
}

fn answer(words: &[&str]) -> Result<String> {
    let started = Instant::now();
    let outcome = match words {
        ["get", address, path] => get(address.parse()?, path),
        ["burst", count, address, path] => return burst(count.parse()?, address.parse()?, path),
        ["who", address] => return Ok(who(address.parse()?).unwrap_or_else(|error| kind(&error))),
        ["ping", address] => ping(address.parse()?),
        _ => bail!("no such command: {words:?}"),
    };
    let elapsed = started.elapsed().as_millis();
    Ok(match outcome {
        Ok((first, rest)) => format!("{first} {elapsed} {rest}"),
        Err(error) => format!("{} {elapsed}", kind(&error)),
    })
}

/// The status, and the header in which ambassador names the cause of its own answers.
fn get(address: SocketAddr, path: &str) -> Result<(String, String)> {
    let mut stream = dial(address, Duration::from_secs(20))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let status = reply.split_whitespace().nth(1).context("no status line")?.to_owned();
    let cause = reply.lines().find_map(|line| line.strip_prefix("x-ambassador-error: ")).unwrap_or("-");
    Ok((status, cause.to_owned()))
}

/// `STATUS CAUSE`, on the connection that is kept, or a new one that is then kept.
fn keep(kept: &mut Option<BufReader<TcpStream>>, address: SocketAddr, path: &str) -> Result<String> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(BufReader::new(dial(address, Duration::from_secs(20))?)),
    };
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            bail!(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
    }
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let length = value("content-length").context("a body without a length")?.parse()?;
    stream.read_exact(&mut vec![0; length])?;
    let status = head.split_whitespace().nth(1).context("no status line")?;
    Ok(format!("{status} {}", value("x-ambassador-error").unwrap_or("-")))
}

fn burst(count: usize, address: SocketAddr, path: &str) -> Result<String> {
    let mut answers = std::thread::scope(|scope| {
        let get = || get(address, path).map_or_else(|error| kind(&error), |(status, _)| status);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(get)).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Option<Vec<String>>>()
    })
    .context("a client thread panicked")?;
    answers.sort();
    Ok(answers.join(" "))
}

/// How a new connection reaches the witness, which says from where it sees it come.
fn who(address: SocketAddr) -> Result<String> {
    let mut stream = dial(address, Duration::from_millis(400))?;
    stream.write_all(b"who\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    line.split_whitespace().next().context("an empty answer")?.parse::<SocketAddr>()?;
    Ok(path(stream.local_addr()?, address)?.to_owned())
}

fn ping(address: SocketAddr) -> Result<(String, String)> {
    let mut stream = dial(address, Duration::from_secs(5))?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let words = line.trim().split_once(' ').unwrap_or((line.trim(), "-"));
    if words.0.is_empty() {
        bail!(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
    }
    Ok((words.0.to_owned(), words.1.to_owned()))
}

pub(crate) fn dial(address: SocketAddr, limit: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    Ok(stream)
}

pub(crate) fn kind(error: &anyhow::Error) -> String {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind.map_or_else(
        || format!("error {}", error.to_string().replace(' ', "-")),
        |kind| format!("error {kind:?}"),
    )
}

pub(crate) fn say(line: &str) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}
