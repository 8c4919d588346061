// SPDX-License-Identifier: Apache-2.0
//! Programs that do not wait for the reply to a request before they send the next: where no policy acts, both ends see
//! everything when they would directly, and every request is counted all the same.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::Duration;

use ambassador_tests::script::{BEAT, Case, Scene, Step, check, send};
use ambassador_tests::{Ambassador, Link, TcpPeer, comparison, wait};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How long nothing comes any more.
const QUIET: Duration = Duration::from_millis(500);
const SOON: Duration = Duration::from_secs(20);
/// More than all buffers on the way hold.
const LARGE: usize = 32_000_000;
const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const CHUNKED: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nbody\r\n0\r\nX-T: 1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OK_IN_CHUNKS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
const OK_TO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
const EARLY: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end";
const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// Without a policy, and with one that is off.
fn without_policy() -> Result<[Ambassador; 2]> {
    Ok([Ambassador::run("-q")?, Ambassador::run("-q --mode off --retry 2")?])
}

/// The origin answers nothing before it has seen all requests.
fn all_at_once(name: &'static str, requests: &[&[u8]], replies: &[&[u8]]) -> Case {
    let until = Step::Until(requests.concat().len());
    Case { name, program: vec![send(requests.concat())], origin: vec![until, send(replies.concat())] }
}

#[test]
fn an_origin_may_wait_for_further_requests_before_it_answers() -> Result<()> {
    let many = GET.repeat(6000);
    check(
        CLIENT,
        &[
            all_at_once("two", &[GET, GET], &[OK, OK]),
            all_at_once("behind a body", &[POST, CHUNKED, GET], &[OK, OK_IN_CHUNKS, OK]),
            all_at_once("of every kind", &[GET, HEAD, POST, HEAD], &[EARLY, OK, OK_TO_HEAD, OK, OK_TO_HEAD]),
            all_at_once("the last one to the end", &[GET, GET], &[OK, CLOSING]),
            all_at_once("the first one to the end", &[GET, GET], &[CLOSING]),
            all_at_once("an upgrade behind", &[GET, ASK, b"\x81\x00"], &[OK, AGREED, b"\x81\x00"]),
            all_at_once(
                "a tunnel behind",
                &[GET, b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"x"],
                &[OK, OK_TO_HEAD, b"y"],
            ),
            all_at_once("what is no request behind", &[GET, b"\x16\x03\x01"], &[OK, b"\x15\x03\x01"]),
            all_at_once("replies that are none", &[GET, GET], &[b"ICY 200 OK\r\n\r\n", b"and so on"]),
            Case {
                name: "later",
                program: vec![send(GET), BEAT, send(GET), BEAT, send(POST)],
                origin: vec![Step::Until(2 * GET.len() + POST.len()), send([OK, OK, OK].concat())],
            },
            Case {
                name: "on a kept connection",
                program: vec![send(GET), Step::Until(OK.len()), send([GET, GET].concat())],
                origin: vec![
                    Step::Until(GET.len()),
                    send(OK),
                    Step::Until(3 * GET.len()),
                    send([OK, OK].concat()),
                ],
            },
            Case {
                name: "in the middle of a reply",
                program: vec![send(GET), Step::Until(OK.len() - 1), send(POST)],
                origin: vec![
                    Step::Until(GET.len()),
                    send(&OK[..OK.len() - 1]),
                    Step::Until(GET.len() + POST.len()),
                    send([&OK[OK.len() - 1..], OK].concat()),
                ],
            },
            Case {
                name: "a half head behind",
                program: vec![send([GET, &GET[..9]].concat()), Step::Until(OK.len()), send(&GET[9..])],
                origin: vec![Step::Until(GET.len() + 9), send(OK), Step::Until(2 * GET.len()), send(OK)],
            },
            Case {
                name: "half a body first",
                program: vec![send(&POST[..POST.len() - 2]), BEAT, send([b"dy", GET].concat())],
                origin: vec![Step::Until(POST.len() + GET.len()), send([OK, OK].concat())],
            },
            Case {
                name: "thousands, and the end",
                program: vec![send(&many), Step::HalfClose],
                origin: vec![Step::Until(many.len()), send(OK.repeat(6000))],
            },
        ],
        &without_policy()?,
    )
}

#[test]
fn ends_in_the_middle_of_a_pipeline_are_those_of_the_direct_run() -> Result<()> {
    let two = [GET, GET].concat();
    let until = Step::Until(two.len());
    check(
        CLIENT,
        &[
            Case {
                name: "the origin resets",
                program: vec![send(&two), Step::Until(OK.len())],
                origin: vec![until.clone(), send(OK), BEAT, Step::Reset],
            },
            Case {
                name: "the origin ends in a reply",
                program: vec![send(&two)],
                origin: vec![until.clone(), send(OK), send(&OK[..OK.len() - 1])],
            },
            Case {
                name: "the origin answers nothing",
                program: vec![send(&two)],
                origin: vec![until.clone()],
            },
            Case {
                name: "the program resets",
                program: vec![send(&two), BEAT, Step::Reset],
                origin: vec![until, Step::Until(two.len() + 1)],
            },
        ],
        &without_policy()?,
    )
}

#[test]
fn every_request_of_a_pipeline_is_counted() -> Result<()> {
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    let case =
        all_at_once("counted", &[GET, POST, HEAD, CHUNKED], &[missing, OK_IN_CHUNKS, OK_TO_HEAD, EARLY, OK]);
    let later = Case {
        name: "counted in the middle of a reply",
        program: vec![
            send(GET),
            Step::Until(OK.len() - 1),
            send(POST),
            Step::Until(OK.len() + missing.len()),
        ],
        origin: vec![
            Step::Until(GET.len()),
            send(&OK[..OK.len() - 1]),
            Step::Until(GET.len() + POST.len()),
            send([&OK[OK.len() - 1..], missing].concat()),
        ],
    };
    let scene = Scene::new(CLIENT, &[case, later])?;
    let (_, under) = scene.under(&Ambassador::run("-o json")?)?;
    let said = under.errors();
    let mut lines = Vec::new();
    for line in said.lines().filter(|line| line.contains("\"method\"")) {
        let line: Value = serde_json::from_str(line).context(line.to_owned())?;
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        ensure!(line["error"].is_null() && number("attempts") == 1, "{line}");
        let method = line["method"].as_str().unwrap_or_default().to_owned();
        lines.push((method, number("status"), number("bytes_sent"), number("bytes_received")));
    }
    let want = |method: &str, status, sent: &[u8], received: usize| {
        (method.to_owned(), status, sent.len() as u64, received as u64)
    };
    let wanted = [
        want("GET", 404, GET, missing.len()),
        want("POST", 200, POST, OK_IN_CHUNKS.len()),
        want("HEAD", 200, HEAD, OK_TO_HEAD.len()),
        want("POST", 200, CHUNKED, EARLY.len() + OK.len()),
        want("GET", 200, GET, OK.len()),
        want("POST", 404, POST, missing.len()),
    ];
    ensure!(lines == wanted, "{lines:?}, wanted {wanted:?}\n{said}");
    Ok(())
}

/// The origin reads on while its program does not take what it writes.
#[test]
fn a_program_that_takes_no_reply_may_ask_on() -> Result<()> {
    let link = Link::new()?;
    let (tell, told) = channel();
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let _server = TcpPeer::start(&link.server, Link::v4(9000), move |mut stream, _| {
        let mut seen = vec![0; GET.len()];
        stream.read_exact(&mut seen)?;
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut stream = stream;
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")?;
                for _ in 0..LARGE / 1000 {
                    stream.write_all(&[b'x'; 1000])?;
                    count.fetch_add(1000, Relaxed);
                }
                Ok::<_, anyhow::Error>(stream.write_all(OK)?)
            });
            let mut stream = stream;
            stream.read_exact(&mut seen)?;
            Ok(tell.send(())?)
        })
    })?;
    let program = comparison::python(
        r"
s = socket.create_connection(('10.77.0.2', 9000))
s.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
input()
s.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
input()
s.shutdown(socket.SHUT_WR)
print(len(s.makefile('rb').read()))
",
    );
    let ambassador = Ambassador::run("-o json")?;
    let mut process = ambassador.spawn(&link.client, &program)?;
    let mut before = 0;
    let stuck = || {
        wait::pass(QUIET);
        let now = written.load(Relaxed);
        Ok((now > 0 && std::mem::replace(&mut before, now) == now).then_some(()))
    };
    wait::until("the reply to be stuck", SOON, stuck)?;
    process.say("")?;
    told.recv_timeout(SOON).context("the second request does not arrive")?;
    process.say("")?;
    let finished = process.finish(SOON)?.expect_success()?;
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").len() + LARGE;
    ensure!(finished.text().trim() == (whole + OK.len()).to_string(), "{}", finished.text());
    for received in [whole, OK.len()] {
        let counted = format!("\"bytes_received\":{received}}}");
        ensure!(finished.errors().contains(&counted), "{received}: {}", finished.errors());
    }
    Ok(())
}

#[test]
fn with_a_policy_each_request_waits_for_the_reply_before() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(9000), |stream, _| one_by_one(stream))?;
    let program = comparison::python(
        r"
s = socket.create_connection(('10.77.0.2', 9000))
s.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n' * 3)
print(s.makefile().read()[-1])
",
    );
    for (arguments, want) in [("-q", "3"), ("-q --retry 2", "1"), ("-q --timeout 9s", "1")] {
        let run = Ambassador::run(arguments)?.output(&link.client, &program)?.expect_success()?;
        ensure!(run.text().trim() == want, "{arguments}: {}{}", run.text(), run.errors());
    }
    Ok(())
}

/// Tells how many requests have come unasked.
fn one_by_one(mut stream: &std::net::TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(QUIET))?;
    let (mut seen, mut buffer) = (0, [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        seen += buffer[..count].windows(4).filter(|end| end == b"\r\n\r\n").count();
    }
    Ok(write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{seen}")?)
}
