// SPDX-License-Identifier: Apache-2.0
//! Requests that two parsers could read differently: relayed as they are where nobody could be hurt, refused where a
//! policy selects by what requests say. Nothing that one flow makes of its connection reaches another request.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use ambassador_tests::script::{BEAT, Case, Scene, Step, check, in_every_mode, send, shown};
use ambassador_tests::{
    Ambassador, Link, Process, TcpPeer, ambassador::LONG, ambiguous, ambiguous::request, wait,
};
use anyhow::{Result, bail, ensure};

fn check_all(cases: &[Case]) -> Result<()> {
    check(env!("CARGO_BIN_EXE_client"), cases, &in_every_mode()?)
}

#[test]
fn heads_that_may_be_read_in_two_ways() -> Result<()> {
    check_all(&ambiguous::heads())
}

#[test]
fn chunks_that_may_be_read_in_two_ways() -> Result<()> {
    check_all(&ambiguous::chunks())
}

#[test]
fn a_later_request_that_may_be_read_in_two_ways() -> Result<()> {
    let first = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let after_one = |name, second: &[u8]| Case {
        name,
        program: vec![send(first), Step::Until(reply.len()), send(second)],
        origin: vec![
            Step::Until(first.len()),
            send(reply),
            Step::Until(first.len() + second.len()),
            send(b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno"),
        ],
    };
    check_all(&[
        after_one(
            "CL.TE",
            b"POST / HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        ),
        after_one("not HTTP", b"\x00\x01\x02 and so on\r\n"),
        after_one("many empty lines", b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        after_one("a CR", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        after_one("bad chunks", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n"),
    ])
}

#[test]
fn a_policy_that_selects_by_request_refuses_them() -> Result<()> {
    let mut cases = ambiguous::heads();
    // Bare LF is no ambiguity of where the request ends: it goes out, on a connection of its own.
    cases.retain(|case| case.name != "bare LF");
    cases.extend(ambiguous::chunks().into_iter().take(1));
    let scene = Scene::new(env!("CARGO_BIN_EXE_client"), &cases)?;
    let hosts = "version: v1\nroutes:\n  - name: shop\n    match: {hosts: [shop.example]}\n    retry: {attempts: 2}\n";
    let (outcomes, _) = scene.under(&Ambassador::with_policy("-q", hosts)?)?;
    for (case, outcome) in cases.iter().zip(outcomes) {
        ensure!(outcome.program.contains(" HTTP/1.1 400 Bad Request\\r\\n"), "{}: {outcome:?}", case.name);
        ensure!(outcome.program.contains("x-ambassador-error: malformed"), "{}: {outcome:?}", case.name);
        ensure!(outcome.origin.starts_with("0 bytes"), "{}: {outcome:?}", case.name);
    }
    Ok(())
}

#[test]
fn a_policy_that_selects_by_request_lets_none_escape_into_another_protocol() -> Result<()> {
    let settings = "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let h2c = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}");
    let websocket = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let offers = [
        ("h2c", h2c.as_str(), ""),
        ("h2c without a word to the connection", "upgrade:H2C\r\n", ""),
        ("TLS", "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", ""),
        (
            "beside another one",
            "Connection: upgrade\r\nUpgrade: h2c, x\r\n",
            "Connection: upgrade\r\nUpgrade: x\r\n",
        ),
        // Only frames travel there.
        ("WebSocket", websocket, websocket),
    ];
    let cases = offers.map(|(name, offer, _)| {
        request(name, format!("GET /chat HTTP/1.1\r\nHost: shop.example\r\n{offer}X: 1\r\n\r\n"))
    });
    let arriving =
        offers.map(|(_, _, rest)| format!("GET /chat HTTP/1.1\r\nHost: shop.example\r\n{rest}X: 1\r\n\r\n"));
    let mut cases = cases.to_vec();
    for (case, arriving) in cases.iter_mut().zip(&arriving) {
        case.origin[0] = Step::Until(arriving.len());
    }
    let scene = Scene::new(env!("CARGO_BIN_EXE_client"), &cases)?;
    let by_path = "version: v1\nroutes:\n  - name: admin\n    match: {paths: [{prefix: /admin}]}\n    retry: {attempts: 2}\n";
    let denying = "version: v1\noutboundTrafficPolicy: Deny\nroutes:\n  - name: shop\n    match: {hosts: [shop.example], paths: [{exact: /chat}]}\n";
    for policy in [by_path, denying] {
        let (outcomes, _) = scene.under(&Ambassador::with_policy("-q", policy)?)?;
        for ((case, outcome), arriving) in cases.iter().zip(outcomes).zip(&arriving) {
            let wanted = shown(arriving.as_bytes(), "end");
            ensure!(outcome.origin == wanted, "{}: {outcome:?}, wanted {wanted}", case.name);
            ensure!(outcome.program.contains(" 200 OK"), "{}: {outcome:?}", case.name);
        }
    }
    Ok(())
}

/// Answers each request with its target, in a connection that counts; `more` follows the first reply of all.
fn echo_targets(mut stream: &TcpStream, connection: usize, more: &[Step]) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = connection == 0;
    loop {
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        let Some(target) = head.split(' ').nth(1) else { return Ok(()) };
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
        let mut reply = reply.into_bytes();
        for step in more.iter().filter(|_| first) {
            match step {
                Step::Send(bytes) => reply.extend(bytes),
                Step::Pause(pause) => {
                    stream.write_all(&std::mem::take(&mut reply))?;
                    wait::pass(*pause);
                }
                other => bail!("no step of this origin: {other:?}"),
            }
        }
        stream.write_all(&reply)?;
        first = false;
    }
}

#[test]
fn an_origin_that_ends_beyond_its_reply_ends_the_program_too() -> Result<()> {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 408 bye\r\n";
    let pieces = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    let until = || Step::Until(get.len());
    let case = |name, origin| Case { name, program: vec![send(get)], origin };
    let cases = [
        case("at once", vec![until(), send(whole)]),
        case("a moment later", vec![until(), send(&whole[..40]), BEAT, send(&whole[40..])]),
        case("in chunks", vec![until(), send(pieces), BEAT, send(b"0\r\n\r\nHTTP/1.1 408 bye\r\n")]),
    ];
    let scene = Scene::new(env!("CARGO_BIN_EXE_client"), &cases)?;
    for ambassador in in_every_mode()? {
        let (under, _) = scene.under(&ambassador)?;
        for (case, seen) in cases.iter().zip(&under) {
            ensure!(seen.program.contains("ok"), "{}: {ambassador:?}: {seen:?}", case.name);
            ensure!(seen.program.ends_with(" | end"), "{}: {ambassador:?}: {seen:?}", case.name);
        }
    }
    Ok(())
}

#[test]
fn what_an_origin_sends_beyond_its_reply_reaches_no_other_request() -> Result<()> {
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let get = |target: &str| send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1".len();
    // At once with the reply, and a moment later, when the connection is idle: long before the next request, because
    // what crosses that on its own connection is taken for its reply by anybody.
    for more in [vec![send(EVIL)], vec![BEAT, send(EVIL)]] {
        for ambassador in in_every_mode()? {
            let link = Link::new()?;
            let steps = more.clone();
            let address = Link::v4(9000);
            let _peer = TcpPeer::start(&link.server, address, move |stream, connection| {
                echo_targets(stream, connection, &steps)
            })?;
            let same_flow = [
                get("/1"),
                Step::Until(reply),
                BEAT,
                BEAT,
                get("/2"),
                Step::Until(2 * reply),
                Step::HalfClose,
            ];
            let other_flow = [get("/3"), Step::Until(reply), Step::HalfClose];
            let lines =
                [&same_flow[..], &other_flow].map(|steps| ambassador_tests::script::line(address, steps));
            let mut command = ambassador.command(&link.client, &[env!("CARGO_BIN_EXE_client"), "exchange"]);
            let said =
                Process::run_with_input(&mut command, lines.concat().as_bytes(), LONG)?.expect_success()?;
            ensure!(!said.text().contains("evil"), "{ambassador:?}: {}", said.text());
            ensure!(
                said.text().contains("/1") && said.text().contains("/3"),
                "{ambassador:?}: {}",
                said.text()
            );
        }
    }
    Ok(())
}
