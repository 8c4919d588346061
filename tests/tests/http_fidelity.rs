// SPDX-License-Identifier: Apache-2.0
//! HTTP/1 passes byte for byte: nothing is added, dropped, reordered or re-cased, in either direction.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ambassador_tests::{Ambassador, Link, TcpPeer};
use anyhow::{Context, Result, ensure};

const PORT: u16 = 8080;
const ADDRESS: &str = "10.77.0.2:8080";

/// An origin that reads a request until `until` of its bytes came, answers `response`, closes, and tells what it read.
fn origin(link: &Link, until: usize, response: &'static [u8]) -> Result<(TcpPeer, Receiver<Vec<u8>>)> {
    let (sender, requests) = channel();
    let peer = TcpPeer::start(&link.server, Link::v4(PORT), move |mut stream, _| {
        let mut request = vec![0; until];
        stream.read_exact(&mut request)?;
        stream.write_all(response)?;
        Ok(sender.send(request)?)
    })?;
    Ok((peer, requests))
}

/// Sends `request` directly and under ambassador; both directions must be equal to the last byte.
fn check(request: &[u8], response: &'static [u8]) -> Result<()> {
    let link = Link::new()?;
    let (_peer, requests) = origin(&link, request.len(), response)?;
    let program = [env!("CARGO_BIN_EXE_client"), "raw", ADDRESS];
    let under =
        Ambassador::run("-q")?.check_like_direct(&link.client, &program, request)?.expect_success()?;
    ensure!(under.stdout == response, "the client read {:?}", under.text());
    for run in ["direct", "under ambassador"] {
        let arrived = requests.recv_timeout(Duration::from_secs(5)).context(run)?;
        ensure!(arrived == request, "{run}: arrived {:?}", String::from_utf8_lossy(&arrived));
    }
    Ok(())
}

#[test]
fn header_names_keep_their_case_and_order() -> Result<()> {
    check(
        b"GET /A%20b?c=d HTTP/1.1\r\nhOsT: Example.COM\r\nX-Second:  two spaces\r\nx-first:none\r\nX-Second: again\r\n\r\n",
        b"HTTP/1.1 200 Very Fine Indeed\r\nsErVeR: x\r\nX-b: 1\r\nX-A: 2\r\nx-B: 3\r\nCONTENT-LENGTH: 2\r\nConnection: close\r\n\r\nok",
    )
}

#[test]
fn http_1_0_with_a_body_until_the_close_passes() -> Result<()> {
    check(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end")
}

#[test]
fn chunk_extensions_and_trailers_pass() -> Result<()> {
    check(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;name=value\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\nConnection: close\r\n\r\n00004;q=1\r\nwiki\r\n0\r\nX-End: yes\r\n\r\n",
    )
}

#[test]
fn interim_responses_pass() -> Result<()> {
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    )
}

#[test]
fn an_answer_without_a_body_passes() -> Result<()> {
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 100\r\nConnection: close\r\n\r\n",
    )?;
    check(
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n",
    )
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |stream, _| answer_paths(stream))?;
    let requests: String = (0..20)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect::<Vec<_>>()
        .concat();
    let program = [env!("CARGO_BIN_EXE_client"), "raw", ADDRESS];
    let under = Ambassador::run("-q")?.check_like_direct(&link.client, &program, requests.as_bytes())?;
    ensure!(under.text().contains("/19"), "{}", under.text());
    Ok(())
}

#[test]
fn an_upgraded_connection_is_relayed_raw() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let mut reader = BufReader::new(stream);
        while !line(&mut reader)?.is_empty() {}
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst",
        )?;
        let mut bytes = [0; 4];
        while reader.read_exact(&mut bytes).is_ok() {
            stream.write_all(&bytes)?;
        }
        Ok(())
    })?;
    let program = ["/usr/bin/python3", "-c", UPGRADE];
    let under = Ambassador::run("--timeout 500ms -q")?
        .check_like_direct(&link.client, &program, b"")?
        .expect_success()?;
    ensure!(under.text().trim() == "101 first \\x00\\x01\\x02\\x03 late", "{}", under.text());
    Ok(())
}

#[test]
fn expect_continue_waits_for_the_origin() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let mut reader = BufReader::new(stream);
        while !line(&mut reader)?.is_empty() {}
        // The origin refuses: the body must never have been asked for.
        Ok(stream.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?)
    })?;
    let program = ["/usr/bin/python3", "-c", EXPECT];
    let under = Ambassador::run("-q")?.check_like_direct(&link.client, &program, b"")?.expect_success()?;
    ensure!(under.text().trim() == "HTTP/1.1 417 No", "{}", under.text());
    Ok(())
}

#[test]
fn a_body_streams_while_it_is_made() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let mut reader = BufReader::new(stream);
        while !line(&mut reader)?.is_empty() {}
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // Each event is sent only when the client has said that it saw the one before.
        for event in ["one", "two", "three"] {
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            ensure!(line(&mut reader)? == "1", "the client acknowledges");
            ensure!(line(&mut reader)? == ".", "the client acknowledges");
        }
        Ok(stream.write_all(b"0\r\n\r\n")?)
    })?;
    let program = ["/usr/bin/python3", "-c", STREAM];
    let under = Ambassador::run("-q")?.check_like_direct(&link.client, &program, b"")?.expect_success()?;
    ensure!(under.text().trim() == "one two three", "{}", under.text());
    Ok(())
}

fn answer_paths(mut stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let request = line(&mut reader)?;
        let Some(path) = request.split(' ').nth(1) else { return Ok(()) };
        while !line(&mut reader)?.is_empty() {}
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())?;
    }
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

const UPGRADE: &str = r#"
import socket, time
s = socket.create_connection(("10.77.0.2", 8080), 10)
s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
got = b""
while not got.endswith(b"first"): got += s.recv(1000)
def echo(data):
    s.sendall(data)
    back = b""
    while len(back) < 4: back += s.recv(4)
    return back
binary = "".join("\\x%02x" % byte for byte in echo(b"\0\1\2\3"))
time.sleep(1)
print(got.split()[1].decode(), "first", binary, echo(b"late").decode())
"#;

const EXPECT: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 8080), 10)
s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
print(s.makefile().readline())
"#;

const STREAM: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 8080), 10)
s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
f = s.makefile()
while f.readline().strip(): pass
events = []
while int(f.readline(), 16):
    events.append(f.readline().strip())
    s.sendall(b"1\r\n.\r\n")
print(*events)
"#;
