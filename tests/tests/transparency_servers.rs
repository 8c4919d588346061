// SPDX-License-Identifier: Apache-2.0
//! What a server can notice of the connections that lead to it: the differences that `docs/transparency.md` names,
//! proven to be there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::Duration;

use ambassador_tests::{Ambassador, Link, Process, TcpPeer, comparison};
use anyhow::{Context, Result, ensure};

const SOON: Duration = Duration::from_secs(10);
const POOL: &str = "version: v1\ndefaults: {connectionPool: {maxConnections: 8}}\n";

/// A connection of HTTP/2, and its first request when it is told so.
const LATE_REQUEST: &str = r"
s = socket.create_connection(('10.77.0.2', 7700))
s.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes.fromhex('000000040000000000'))
print('up', flush=True)
input()
s.sendall(bytes.fromhex('000006010500000001') + b'\x82\x86\x84\x41\x01a')
s.settimeout(0.5)
try:
    while s.recv(4096): pass
except OSError: pass
";

#[test]
fn a_server_of_http2_hears_of_a_bounded_or_selected_connection_with_its_first_request() -> Result<()> {
    let link = Link::new()?;
    let (sender, heard) = channel();
    let _server = TcpPeer::start(&link.server, Link::v4(7700), move |mut stream, _| {
        while stream.read(&mut [0; 4096])? > 0 {
            sender.send(())?;
        }
        Ok(())
    })?;
    let selecting = "version: v1\nroutes:\n  - name: shop\n    match: {hosts: [shop.example]}\n    retry: {attempts: 2}\n";
    let program = comparison::python(LATE_REQUEST);
    for (policy, at_once) in
        [(None, true), (Some("version: v1\n"), true), (Some(selecting), false), (Some(POOL), false)]
    {
        let ambassador = Ambassador::with_policy("-q", policy.unwrap_or("version: v1\n"))?;
        let mut process = match policy {
            None => Process::spawn(link.client.command(&program[0]).args(&program[1..]))?,
            Some(_) => ambassador.spawn(&link.client, &program)?,
        };
        process.until_stdout("up", SOON)?;
        let before = heard.recv_timeout(if at_once { SOON } else { Duration::from_millis(500) });
        ensure!(before.is_ok() == at_once, "{policy:?}: heard of before its first request: {before:?}");
        process.say("")?;
        heard.recv_timeout(SOON).with_context(|| format!("{policy:?}"))?;
        process.finish(SOON)?.expect_success()?;
        // What it had to say beyond that.
        while heard.try_recv().is_ok() {}
    }
    Ok(())
}

/// Answers each request with the port that its connection comes from; the first request of all fails.
fn tell_port(mut stream: &TcpStream, connection: usize) -> Result<()> {
    let port = stream.peer_addr()?.port();
    let mut lines = BufReader::new(stream).lines();
    while lines.next().transpose()?.is_some() {
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let status = if connection == 0 { "503 No\r\nConnection: close" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\nX-Port: {port}\r\nContent-Length: 5\r\n\r\n{port:05}")?;
        if connection == 0 {
            return Ok(());
        }
    }
    Ok(())
}

#[test]
fn a_pool_opens_fewer_connections_than_the_program() -> Result<()> {
    let link = Link::new()?;
    let server =
        TcpPeer::start(&link.server, Link::v4(7701), |stream, number| tell_port(stream, number + 1))?;
    let script = "
import http.client
for _ in range(10):
    connection = http.client.HTTPConnection('10.77.0.2', 7701, timeout=5)
    connection.request('GET', '/')
    print(connection.getresponse().status)
    connection.close()
";
    comparison::printed(&Ambassador::run("-q")?, &link.client, script)?;
    ensure!(server.accepted() == 20, "{} connections of two runs without a pool", server.accepted());
    let pooled = Ambassador::with_policy("-q", POOL)?;
    pooled.output(&link.client, &comparison::python(script))?.expect_success()?;
    // Each worker has a pool of its own.
    let opened = server.accepted() - 20;
    ensure!(opened < 10, "{opened} connections with a pool");
    Ok(())
}

#[test]
fn a_retry_comes_from_another_port_than_the_program() -> Result<()> {
    let link = Link::new()?;
    let (sender, ports) = channel();
    let _server = TcpPeer::start(&link.server, Link::v4(7702), move |stream, number| {
        sender.send(stream.peer_addr()?.port())?;
        tell_port(stream, number)
    })?;
    let script = "
import http.client
connection = http.client.HTTPConnection('10.77.0.2', 7702, timeout=5)
connection.request('GET', '/')
print(connection.sock.getsockname()[1], connection.getresponse().status)
";
    let ambassador = Ambassador::run("-q --retry 2")?;
    let finished = ambassador.output(&link.client, &comparison::python(script))?.expect_success()?;
    let (first, second) = (ports.recv_timeout(SOON)?, ports.recv_timeout(SOON)?);
    ensure!(finished.text().trim() == format!("{first} 200"), "{} from {first}, {second}", finished.text());
    ensure!(first != second, "both from {first}");
    Ok(())
}

/// Connects from port 47100 without binding it: the kernel has one port to choose from (`IP_LOCAL_PORT_RANGE`).
const FROM_ONE_PORT: &str = "
s = socket.socket()
s.setsockopt(socket.IPPROTO_IP, 51, struct.pack('I', 47100 << 16 | 47100))
s.connect(('10.77.0.2', 7703))
";

#[test]
fn where_the_programs_port_is_taken_the_server_sees_another_one() -> Result<()> {
    let link = Link::new()?;
    let _server =
        TcpPeer::start(&link.server, Link::v4(7703), |stream, number| tell_port(stream, number + 1))?;
    // Somebody else's connection to the same server.
    let holder = comparison::python(&format!("{FROM_ONE_PORT}print('taken', flush=True)\ninput()"));
    let mut holder = Process::spawn(link.client.command(&holder[0]).args(&holder[1..]))?;
    holder.until_stdout("taken", SOON)?;
    let script = format!(
        "{FROM_ONE_PORT}
import http.client
connection = http.client.HTTPConnection('10.77.0.2', 7703)
connection.sock = s
connection.request('GET', '/')
print(s.getsockname()[1] == 47100, int(connection.getresponse().read()) == 47100)
"
    );
    let finished =
        Ambassador::run("-q")?.output(&link.client, &comparison::python(&script))?.expect_success()?;
    ensure!(finished.text().trim() == "True False", "{}", finished.text());
    Ok(())
}
