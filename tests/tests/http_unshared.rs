// SPDX-License-Identifier: Apache-2.0
//! Connections that are never shared: with a `connectionPool`, what an origin may have read otherwise than ambassador
//! ends with the flow that has sent it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ambassador_tests::script::{Case, Step, exchange, line, send};
use ambassador_tests::{Ambassador, Link, Process, TcpPeer, ambassador::LONG, ambiguous, wait};
use anyhow::{Context, Result, ensure};

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
/// One worker: each has a pool of its own, so that with more of them flows may not meet by chance.
const ONE_WORKER: &str = "taskset -cp 0 $$ > /dev/null";
const POOL: &str = "version: v1\ndefaults:\n  connectionPool: {maxRequests: 100}\n";
const SELECTING: &str = "version: v1\nroutes:\n  - name: shop\n    match: {hosts: [shop.example]}\n    retry: {attempts: 2}\ndefaults:\n  connectionPool: {maxRequests: 100}\n";

fn ambassador(policy: &str) -> Result<Ambassador> {
    Ok(Ambassador::with_policy("-q", policy)?.first(ONE_WORKER))
}

/// Plays `flows` one after the other under `ambassador`, and returns what each saw.
fn play(ambassador: &Ambassador, link: &Link, flows: &[(u16, Vec<Step>)]) -> Result<Vec<String>> {
    let lines: String = flows.iter().map(|(port, steps)| line(Link::v4(*port), steps)).collect();
    let mut command = ambassador.command(&link.client, &[CLIENT, "exchange"]);
    let said = Process::run_with_input(&mut command, lines.as_bytes(), LONG)?.expect_success()?.text();
    ensure!(said.lines().count() == flows.len(), "the client said:\n{said}");
    Ok(said.lines().map(str::to_owned).collect())
}

/// Answers each request with its target, `/evil` a moment later; knows of no bodies: what comes in one is the next
/// request.
fn know_no_bodies(mut stream: &TcpStream, _: usize) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        if head.is_empty() {
            return Ok(());
        }
        let Some(asked) = head.lines().find(|line| line.ends_with(" HTTP/1.1")) else { continue };
        let target = asked.split(' ').nth(1).unwrap_or_default();
        if target == "/evil" {
            wait::pass(Duration::from_millis(300));
        }
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
        stream.write_all(reply.as_bytes())?;
    }
}

#[test]
fn a_body_that_its_origin_takes_for_a_request_is_answered_to_nobody_else() -> Result<()> {
    let inner = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a".len();
    let with_length = |method: &str| {
        format!("{method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len())
    };
    let mut requests: Vec<String> =
        ["GET", "POST", "PUT", "DELETE", "OPTIONS", "QUERY"].map(with_length).to_vec();
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    requests.push(format!("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
    // The last one has no body: that its connection is shared shows that the others could have been.
    requests.push("GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned());
    let link = Link::new()?;
    let (mut peers, mut flows) = (Vec::new(), Vec::new());
    for (request, port) in requests.iter().zip(9100..) {
        peers.push(TcpPeer::start(&link.server, Link::v4(port), know_no_bodies)?);
        for request in [request.as_str(), "GET /b HTTP/1.1\r\nHost: a\r\n\r\n"] {
            flows.push((port, vec![send(request), Step::Until(reply), Step::HalfClose]));
        }
    }
    let said = play(&ambassador(POOL)?, &link, &flows)?;
    for ((request, peer), said) in requests.iter().zip(&peers).zip(said.chunks(2)) {
        ensure!(said[0].contains("/a |") && said[1].contains("/b |"), "{request}: {said:?}");
        let wanted = if request.contains("evil") { 2 } else { 1 };
        ensure!(peer.accepted() == wanted, "{request}: {} connections", peer.accepted());
    }
    Ok(())
}

/// Announces a body where none may be, as HEAD and 304 let it, and sends one a moment later all the same. What it sends
/// is the start of a reply.
fn send_bodies_late(mut stream: &TcpStream, status: &str) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        match head.split(' ').nth(1) {
            None => return Ok(()),
            Some("/b") => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/b")?,
            Some(_) => {
                stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 43\r\n\r\n").as_bytes())?;
                wait::pass(Duration::from_millis(300));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/evil")?;
            }
        }
    }
}

#[test]
fn a_body_where_none_may_be_is_answered_to_nobody_else() -> Result<()> {
    let cases = [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 No Content")];
    let link = Link::new()?;
    let (mut peers, mut flows) = (Vec::new(), Vec::new());
    for ((method, status), port) in cases.into_iter().zip(9300..) {
        let serve = move |stream: &TcpStream, _| send_bodies_late(stream, status);
        peers.push(TcpPeer::start(&link.server, Link::v4(port), serve)?);
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 43\r\n\r\n").len();
        let request = format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n");
        flows.push((port, vec![send(request), Step::Until(head), Step::HalfClose]));
        let request = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
        flows.push((port, vec![send(request), Step::Until(40), Step::HalfClose]));
    }
    let said = play(&ambassador(POOL)?, &link, &flows)?;
    for (case, said) in cases.iter().zip(said.chunks(2)) {
        ensure!(said[1].contains("/b |") && !said[1].contains("evil"), "{case:?}: {said:?}");
    }
    Ok(())
}

/// A place among `maxConnections` is that of the route whose request opened the connection, and of no other one's.
#[test]
fn what_a_route_uses_takes_no_place_of_another() -> Result<()> {
    let pool = "connectionPool: {maxConnections: 1}";
    let route =
        |name: &str| format!("  - name: {name}\n    match: {{hosts: [{name}.example]}}\n    {pool}\n");
    let routes = format!("version: v1\nroutes:\n{}{}", route("one"), route("two"));
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(9500), know_no_bodies)?;
    let program = ["/usr/bin/python3", "-c", IN_TURN];
    let run = ambassador(&routes)?.output(&link.client, &program)?.expect_success()?;
    ensure!(run.text().trim() == "200 200 200", "{}", run.text());
    Ok(())
}

const IN_TURN: &str = r#"
import socket
def ask(name, path):
    s = socket.create_connection(("10.77.0.2", 9500), 10)
    s.sendall(("GET %s HTTP/1.1\r\nHost: %s.example\r\n\r\n" % (path, name)).encode())
    return s
def status(s):
    return s.recv(4096).split()[1].decode()
first = ask("one", "/a")
one = status(first)
first.shutdown(socket.SHUT_WR)
while first.recv(4096): pass
# Its reply comes a moment later.
second = ask("two", "/evil")
third = ask("one", "/a")
print(one, status(third), status(second))
"#;

/// Who comes after.
const PROBE: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers when that many bytes have come, keeps its connection open, and answers a probe; `arrived` gets everything
/// that had come on the probe's connection before it.
fn keep_open(mut stream: &TcpStream, until: usize, arrived: &Sender<Vec<u8>>) -> Result<()> {
    let (mut seen, mut chunk, mut answered) = (Vec::new(), [0; 4096], false);
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            count => seen.extend_from_slice(&chunk[..count]),
        }
        if seen.ends_with(PROBE) {
            arrived.send(seen[..seen.len() - PROBE.len()].to_vec())?;
            stream.write_all(OK)?;
        } else if seen.len() >= until && !answered {
            answered = true;
            stream.write_all(OK)?;
        }
    }
}

/// What had come before the probe, of each of `cases`, on the connection of the probe.
fn before_the_probe(ambassador: &Ambassador, cases: &[Case]) -> Result<Vec<Vec<u8>>> {
    let link = Link::new()?;
    let (mut peers, mut flows) = (Vec::new(), Vec::new());
    for (case, port) in cases.iter().zip(9200..) {
        let (sender, arrivals): (_, Receiver<Vec<u8>>) = channel();
        let until = if let Some(Step::Until(count)) = case.origin.first() { *count } else { 0 };
        let serve = move |stream: &TcpStream, _| keep_open(stream, until, &sender);
        peers.push((TcpPeer::start(&link.server, Link::v4(port), serve)?, arrivals));
        let end = [Step::Until(OK.len()), Step::HalfClose];
        flows.push((port, [&case.program[..], &end].concat()));
        flows.push((port, [&[send(PROBE)][..], &end].concat()));
    }
    let said = play(ambassador, &link, &flows)?;
    let probed = cases.iter().zip(&peers).zip(said.chunks(2)).map(|((case, (_, arrivals)), said)| {
        ensure!(said[1].contains("\\r\\n\\r\\nok |"), "{}: {said:?}", case.name);
        arrivals.recv_timeout(Duration::from_secs(5)).context(case.name)
    });
    probed.collect()
}

#[test]
fn what_may_be_read_in_two_ways_goes_out_on_a_connection_that_nobody_else_gets() -> Result<()> {
    let clear = exchange("clear", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", OK);
    let ok = |name, request: &[u8]| exchange(name, request, OK);
    // These are read, and where their request ends is clear; but an origin may not see it so.
    let rare = vec![
        ok("a head of bare LF", b"GET / HTTP/1.1\nHost: a\n\n"),
        ok("equal lengths", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        ok("equal hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ok("two codings", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ok("a body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
    ];
    let cases: Vec<Case> = [ambiguous::heads(), ambiguous::chunks(), rare, vec![clear]].concat();
    // Relayed as they are, and refused where anybody reads them otherwise.
    for policy in [POOL, SELECTING] {
        let mut before = before_the_probe(&ambassador(policy)?, &cases)?;
        for (case, before) in cases.iter().zip(&before).take(cases.len() - 1) {
            ensure!(before.is_empty(), "{policy}: {}: after {}", case.name, before.escape_ascii());
        }
        ensure!(before.pop().is_some_and(|before| !before.is_empty()), "{policy}: nothing is shared at all");
    }
    Ok(())
}

/// Only the routes that ask for a pool use what is in it, also where others lead to the same place.
#[test]
fn a_route_without_a_pool_takes_nothing_out_of_that_of_another() -> Result<()> {
    let routes = "version: v1\nroutes:\n  - name: pooled\n    match: {hosts: [pooled.example]}\n    connectionPool: {maxRequests: 100}\n  - name: plain\n    match: {hosts: [plain.example]}\n    timeouts: {request: 20s}\n";
    let link = Link::new()?;
    let get = |host: &str| format!("GET /{host} HTTP/1.1\r\nHost: {host}.example\r\n\r\n");
    let flow = |host: &str| vec![send(get(host)), Step::Until(OK.len()), Step::HalfClose];
    let (told, asked) = channel();
    let peer = TcpPeer::start(&link.server, Link::v4(9400), move |mut stream, connection| {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while reader.read_line(&mut head)? > 2 {}
            let Some(target) = head.split(' ').nth(1) else { return Ok(()) };
            told.send((target.to_owned(), connection))?;
            stream.write_all(OK)?;
        }
    })?;
    let flows = ["pooled", "plain", "pooled"].map(|host| (9400, flow(host)));
    play(&ambassador(routes)?, &link, &flows)?;
    let asked: Vec<(String, usize)> = asked.try_iter().collect();
    let wanted = [("/pooled", 0), ("/plain", 1), ("/pooled", 0)].map(|(target, at)| (target.to_owned(), at));
    ensure!(asked == wanted && peer.accepted() == 2, "{asked:?}");
    Ok(())
}
