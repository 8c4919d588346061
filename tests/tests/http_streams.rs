// SPDX-License-Identifier: Apache-2.0
//! What happens in the middle of exchanges: expectations, early replies, pipelining, pieces of a stream, and bodies
//! of a gigabyte that nobody keeps.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambassador_tests::ambassador::LONG;
use ambassador_tests::script::{BEAT, Case, Scene, Step, check, in_every_mode, send};
use ambassador_tests::{Ambassador, Link, TcpPeer};
use anyhow::{Context, Result, anyhow, ensure};

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const EXPECT: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NO: &[u8] = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno";
const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";

#[test]
fn expectations_are_met_or_refused_by_the_origin() -> Result<()> {
    let until = Step::Until;
    check(
        CLIENT,
        &[
            Case {
                name: "met",
                program: vec![send(EXPECT), until(CONTINUE.len()), send(b"body")],
                origin: vec![until(EXPECT.len()), send(CONTINUE), until(EXPECT.len() + 4), send(OK)],
            },
            Case {
                name: "met with words of its own",
                program: vec![send(EXPECT), until(30), send(b"body")],
                origin: vec![
                    until(EXPECT.len()),
                    send(b"HTTP/1.1 100 Go on\r\nX-A: 1\r\n\r\n"),
                    until(EXPECT.len() + 4),
                    send(OK),
                ],
            },
            Case {
                name: "refused, and the next request",
                program: vec![send(EXPECT), until(NO.len()), send(GET)],
                origin: vec![until(EXPECT.len()), send(NO), until(EXPECT.len() + GET.len()), send(OK)],
            },
            Case {
                name: "refused with 413 before the body",
                program: vec![send(EXPECT), until(TOO_LARGE.len())],
                origin: vec![until(EXPECT.len()), send(TOO_LARGE)],
            },
            Case {
                name: "never answered",
                program: vec![send(EXPECT), BEAT, send(b"body")],
                origin: vec![until(EXPECT.len() + 4), send(OK)],
            },
            Case {
                name: "refused while the body comes",
                program: vec![
                    send(EXPECT),
                    until(CONTINUE.len()),
                    send(b"bo"),
                    until(CONTINUE.len() + TOO_LARGE.len()),
                ],
                origin: vec![until(EXPECT.len()), send(CONTINUE), until(EXPECT.len() + 2), send(TOO_LARGE)],
            },
            Case {
                name: "an early 413 without an expectation",
                program: vec![
                    send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun"),
                    until(TOO_LARGE.len()),
                ],
                origin: vec![until(58), send(TOO_LARGE)],
            },
            Case {
                name: "a reset after an early reply",
                program: vec![send([EXPECT, b"bo"].concat()), until(OK.len())],
                origin: vec![until(EXPECT.len() + 2), send(OK), BEAT, Step::Reset],
            },
            Case {
                name: "an early reply, and the rest of the body",
                program: vec![
                    send(&EXPECT[..20]),
                    send(&EXPECT[20..]),
                    until(OK.len()),
                    send(b"body"),
                    send(GET),
                ],
                origin: vec![until(EXPECT.len()), send(OK), until(EXPECT.len() + 4 + GET.len()), send(OK)],
            },
        ],
        &in_every_mode()?,
    )
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let gets: Vec<Vec<u8>> =
        (0..9).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()).collect();
    let reply = |n| format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}").into_bytes();
    let one_by_one = (0..9).flat_map(|n| [Step::Until((n + 1) * gets[0].len()), send(reply(n))]).collect();
    let post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    check(
        CLIENT,
        &[
            Case { name: "nine", program: vec![send(gets.concat())], origin: one_by_one },
            Case {
                name: "behind a body",
                program: vec![send([&post[..], GET].concat())],
                origin: vec![
                    Step::Until(post.len()),
                    send(OK),
                    Step::Until(post.len() + GET.len()),
                    send(OK),
                ],
            },
            Case {
                name: "behind half a body",
                program: vec![send(&post[..post.len() - 2]), BEAT, send([&b"dy"[..], GET].concat())],
                origin: vec![
                    Step::Until(post.len()),
                    send(OK),
                    Step::Until(post.len() + GET.len()),
                    send(OK),
                ],
            },
        ],
        &in_every_mode()?,
    )
}

#[test]
fn a_reply_that_closes_is_whole_though_more_requests_wait() -> Result<()> {
    let closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let case = Case {
        name: "closes",
        // What comes late must not turn the end into a reset before the reply is read.
        program: vec![send(GET.repeat(8000)), BEAT, BEAT],
        origin: vec![Step::Until(GET.len()), send(closing)],
    };
    let scene = Scene::new(CLIENT, &[case])?;
    let direct = scene.direct()?;
    for ambassador in in_every_mode()? {
        let (under, _) = scene.under(&ambassador)?;
        ensure!(under[0].program == direct[0].program, "{direct:?}\n{under:?}");
    }
    Ok(())
}

#[test]
fn each_event_of_a_stream_arrives_at_once() -> Result<()> {
    let link = Link::new()?;
    for (port, head) in
        [(9000, "Connection: close\r\n"), (9001, "Transfer-Encoding: chunked\r\n"), (9002, "\r\nICY")]
    {
        let (next, due) = sync_channel(0);
        let due = Mutex::new(due);
        let _peer = TcpPeer::start(&link.server, Link::v4(port), move |mut stream, _| {
            let mut reader = BufReader::new(stream);
            while reader.read_line(&mut String::new())? > 2 {}
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{head}\r\n")?;
            for _ in 0..8 {
                let event =
                    format!("data: {}\n\n", SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros());
                match head {
                    "Transfer-Encoding: chunked\r\n" => write!(stream, "{:x}\r\n{event}\r\n", event.len())?,
                    _ => write!(stream, "{event}")?,
                }
                // Nothing follows that could push the event through: it has to arrive first.
                due.lock().map_err(|_| anyhow!("a test failed"))?.recv_timeout(LONG)?;
            }
            Ok(())
        })?;
        for ambassador in in_every_mode()? {
            let port = port.to_string();
            let mut process = ambassador.spawn(&link.client, &["/usr/bin/python3", "-c", EVENTS, &port])?;
            for number in 0..8 {
                process.until_stdout(&format!("{number}:"), SOON).context(head)?;
                next.send(())?;
            }
            let said = process.finish(SOON)?.expect_success()?.text();
            let delays = said.split_whitespace().map(|line| line.split(':').nth(1).unwrap_or(line).parse());
            let delays: Vec<u64> = delays.collect::<Result<_, _>>()?;
            ensure!(
                delays.len() == 8 && delays.iter().all(|delay| *delay < EVENT_LATEST_US),
                "{head}: {delays:?} µs"
            );
        }
    }
    Ok(())
}

#[test]
fn a_gigabyte_each_way_is_not_kept() -> Result<()> {
    // Relayed as it is, and through the layers of a policy.
    for flags in ["-q", "-q --retry 2 --timeout 100s"] {
        a_gigabyte_under(flags).with_context(|| flags.to_owned())?;
    }
    Ok(())
}

fn a_gigabyte_under(flags: &str) -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(9000), |stream, _| gigabyte(stream))?;
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(GIB as u64)?;
    let ambassador = Ambassador::run(flags)?;
    let mut process =
        ambassador.spawn(&link.client, &["sh", "-c", GIGABYTE, file.path().to_str().context("a path")?])?;
    process.until_stdout("ready", LONG)?;
    let before = memory(process.pid().as_raw(), "VmRSS")?;
    process.say("go")?;
    process.until_stdout("down 1073741824", LONG)?;
    process.say("go")?;
    process.until_stdout("up 1073741824", LONG)?;
    let most = memory(process.pid().as_raw(), "VmHWM")?;
    ensure!(most < before + 32 * 1024, "{before} KiB before, at most {most} KiB");
    process.say("go")?;
    process.finish(LONG)?.expect_success()?;
    Ok(())
}

/// Answers GET with a gigabyte, and anything else with the number of bytes that came.
fn gigabyte(mut stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let piece = vec![b'x'; 256 * 1024];
    if head.starts_with("GET") {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\nConnection: close\r\n\r\n")?;
        for _ in 0..GIB / piece.len() {
            stream.write_all(&piece)?;
        }
        return Ok(());
    }
    let mut body = piece;
    let mut count = 0;
    while count < GIB {
        let read = reader.read(&mut body)?;
        ensure!(read > 0, "the upload ended after {count} bytes");
        count += read;
    }
    let count = count.to_string();
    Ok(write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{count}",
        count.len()
    )?)
}

/// A number of KiB from `/proc/PID/status`.
fn memory(pid: i32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

const SOON: Duration = Duration::from_secs(10);
/// An event that waits for more, or for a timer, is later than this.
const EVENT_LATEST_US: u64 = 300_000;
const GIB: usize = 1 << 30;

const GIGABYTE: &str = r#"
echo ready; read go
echo down $(curl -s http://10.77.0.2:9000/ | wc -c); read go
echo up $(curl -s -H 'Expect:' -T "$0" http://10.77.0.2:9000/); read go
"#;

const EVENTS: &str = r#"
import socket, sys, time
s = socket.create_connection(("10.77.0.2", int(sys.argv[1])), 10)
s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
numbers = iter(range(8))
for line in s.makefile("rb"):
    if line.startswith(b"data: "):
        print("%d:%d" % (next(numbers), int(time.time() * 1e6) - int(line[6:])), flush=True)
"#;
