// SPDX-License-Identifier: Apache-2.0
//! A connection whose protocol is not known behaves like TCP itself: half-close, resets, refusals, back-pressure.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::listener::reset;
use ambassador_tests::two_sided::TwoSided;
use ambassador_tests::{Ambassador, Link, Process, TcpPeer, summary};
use anyhow::{Context, Result, ensure};

const PORT: u16 = 7100;
const PYTHON: &str = "/usr/bin/python3";

/// Runs a Python client directly and under ambassador: what it prints must be equal.
fn check(link: &Link, script: &str) -> Result<String> {
    let program = [PYTHON, "-c", script];
    Ok(Ambassador::run("-q")?.check_like_direct(&link.client, &program, b"")?.expect_success()?.text())
}

#[test]
fn half_close_of_the_client_lets_the_answer_through() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(stream.write_all(format!("{} bytes", bytes.len()).as_bytes())?)
    })?;
    let text = check(&link, HALF_CLOSE)?;
    ensure!(text.trim() == "3000000 bytes", "{text}");
    Ok(())
}

#[test]
fn half_close_of_the_server_lets_the_request_through() -> Result<()> {
    let link = Link::new()?;
    let (sender, arrived) = channel();
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), move |mut stream, _| {
        stream.write_all(b"over")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(sender.send(bytes.len())?)
    })?;
    check(&link, WRITE_AFTER_EOF)?;
    for run in ["direct", "under ambassador"] {
        let length = arrived.recv_timeout(Duration::from_secs(5)).context(run)?;
        ensure!(length == 1_000_000, "{run}: {length} bytes arrived");
    }
    Ok(())
}

#[test]
fn a_reset_of_the_server_is_a_reset_for_the_client() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        stream.write_all(b"half an ans")?;
        reset(stream)
    })?;
    let text = check(&link, READ_UNTIL_RESET)?;
    ensure!(text.trim() == "ConnectionResetError", "{text}");
    Ok(())
}

#[test]
fn a_reset_before_anybody_has_spoken_is_a_reset() -> Result<()> {
    let link = Link::new()?;
    let (release, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), move |stream, _| {
        let _ = gate.lock().ok().map(|gate| gate.recv_timeout(Duration::from_secs(20)));
        reset(stream)
    })?;
    let ambassador = Ambassador::run("-q")?;
    let mut process = ambassador.spawn(&link.client, &[PYTHON, "-c", READ_AT_ONCE])?;
    process.until_stdout("connected", Duration::from_secs(20))?;
    release.send(())?;
    let finished = process.finish(LONG)?.expect_success()?;
    ensure!(finished.text().trim().ends_with("ConnectionResetError"), "{}", finished.text());
    Ok(())
}

#[test]
fn a_reset_of_the_client_is_a_reset_for_the_server() -> Result<()> {
    let link = Link::new()?;
    let (sender, seen) = channel();
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), move |mut stream, _| {
        stream.write_all(b"go")?;
        let error = std::io::copy(&mut stream, &mut std::io::sink()).err();
        Ok(sender.send(error.map(|error| error.kind()))?)
    })?;
    check(&link, RESET_AFTER_WRITE)?;
    for run in ["direct", "under ambassador"] {
        let end = seen.recv_timeout(Duration::from_secs(5)).context(run)?;
        ensure!(end == Some(std::io::ErrorKind::ConnectionReset), "{run}: {end:?}");
    }
    Ok(())
}

#[test]
fn a_reset_of_the_client_before_anybody_has_spoken_is_a_reset() -> Result<()> {
    let link = Link::new()?;
    let (sender, seen) = channel();
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), move |mut stream, _| {
        let error = std::io::copy(&mut stream, &mut std::io::sink()).err();
        Ok(sender.send(error.map(|error| error.kind()))?)
    })?;
    check(&link, RESET_UNSPOKEN)?;
    for connection in 0..80 {
        let end = seen.recv_timeout(Duration::from_secs(5)).with_context(|| format!("{connection}"))?;
        ensure!(end == Some(std::io::ErrorKind::ConnectionReset), "{connection}: {end:?}");
    }
    Ok(())
}

#[test]
fn a_refused_dial_is_a_reset_at_once() -> Result<()> {
    let link = Link::new()?;
    let program = [PYTHON, "-c", DIAL_CLOSED_PORT];
    let under = Ambassador::run("-q")?.output(&link.client, &program)?.expect_success()?;
    let text = under.text();
    let (error, milliseconds) = text.trim().split_once(' ').context("two words")?;
    // The kernel may say it at connect() or, where ambassador accepted first, at the first use of the socket.
    ensure!(["ConnectionRefusedError", "ConnectionResetError"].contains(&error), "{text}");
    ensure!(milliseconds.parse::<f64>()? < 500.0, "{text}");
    Ok(())
}

#[test]
fn a_slow_reader_holds_the_sender_back() -> Result<()> {
    let link = Link::new()?;
    let (release, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), move |mut stream, _| {
        let mut first = [0; 1];
        stream.read_exact(&mut first)?;
        let _ = gate.lock().ok().map(|gate| gate.recv_timeout(Duration::from_secs(20)));
        let length = std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(stream.write_all(format!("{} bytes", length + 1).as_bytes())?)
    })?;
    let ambassador = Ambassador::run("-q")?;
    let mut process = ambassador.spawn(&link.client, &[PYTHON, "-c", SEND_UNTIL_BLOCKED])?;
    process.until_stdout("blocked", Duration::from_secs(20))?;
    release.send(())?;
    let finished = process.finish(LONG)?.expect_success()?;
    let words: Vec<String> = finished.text().split_whitespace().map(str::to_owned).collect();
    let [_, taken, total, seen, _] = words.as_slice() else { anyhow::bail!("{words:?}") };
    // Two socket pairs' buffers and ambassador's own, not the whole stream.
    ensure!(
        taken.parse::<u64>()? < 64 << 20,
        "the sender could write {taken} bytes to a reader that reads nothing"
    );
    ensure!(total == seen, "{total} bytes sent, {seen} arrived");
    Ok(())
}

#[test]
fn a_large_stream_is_equal_in_both_directions() -> Result<()> {
    let link = Link::new()?;
    let _peer = TcpPeer::start(&link.server, Link::v4(PORT), |stream, _| {
        let (mut reader, mut writer) = (stream, stream);
        std::io::copy(&mut reader, &mut writer)?;
        Ok(stream.shutdown(std::net::Shutdown::Write)?)
    })?;
    let content: Vec<u8> = (0..32_u32 << 20)
        .map(|index| (index % 251).to_le_bytes()[0] ^ (index >> 16).to_le_bytes()[0])
        .collect();
    let program = [env!("CARGO_BIN_EXE_client"), "raw", "10.77.0.2:7100"];
    let ambassador = Ambassador::run("-o json")?;
    let mut command = ambassador.command(&link.client, &program);
    let echoed = Process::run_with_input(&mut command, &content, LONG)?.expect_success()?;
    ensure!(echoed.stdout == content, "{} of {} bytes came back", echoed.stdout.len(), content.len());
    let destination = summary::destination(&echoed.errors(), "10.77.0.2:7100")?;
    let length = u64::try_from(content.len())?;
    ensure!(destination.count("bytes_sent")? == length, "{destination:?}");
    ensure!(destination.count("bytes_received")? == length, "{destination:?}");
    Ok(())
}

const HALF_CLOSE: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 7100), 10)
s.sendall(b"\0" * 3000000)
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
"#;

const WRITE_AFTER_EOF: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 7100), 10)
assert s.recv(10) == b"over"
assert s.recv(10) == b""
s.sendall(b"\0" * 1000000)
s.close()
"#;

const READ_UNTIL_RESET: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 7100), 10)
s.sendall(b"\0\1\2\3\4")
try:
    while s.recv(100): pass
    print("end of file")
except OSError as error:
    print(type(error).__name__)
"#;

const READ_AT_ONCE: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 7100), 10)
print("connected", flush=True)
try:
    print(s.recv(100))
except OSError as error:
    print(type(error).__name__)
"#;

/// Half of them at once, perhaps before ambassador has accepted them, half of them a little later.
const RESET_UNSPOKEN: &str = r#"
import socket, struct, time
for pause in [0] * 20 + [0.02] * 20:
    s = socket.create_connection(("10.77.0.2", 7100), 5)
    time.sleep(pause)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
print("reset")
"#;
const RESET_AFTER_WRITE: &str = r#"
import socket, struct
s = socket.create_connection(("10.77.0.2", 7100), 10)
s.sendall(b"\0" * 1000)
assert s.recv(2, socket.MSG_WAITALL) == b"go"
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
"#;

const DIAL_CLOSED_PORT: &str = r#"
import socket, time
start = time.monotonic()
try:
    s = socket.create_connection(("10.77.0.2", 7199), 10)
    print("closed" if s.recv(1) == b"" else "data", end=" ")
except OSError as error:
    print(type(error).__name__, end=" ")
print((time.monotonic() - start) * 1000)
"#;

const SEND_UNTIL_BLOCKED: &str = r#"
import select, socket
s = socket.create_connection(("10.77.0.2", 7100), 10)
s.setblocking(False)
sent = 0
while select.select([], [s], [], 1)[1] and sent < 1 << 28:
    sent += s.send(b"\0" * 65536)
print("blocked", sent, flush=True)
s.setblocking(True)
for _ in range(16):
    s.sendall(b"\0" * 65536)
    sent += 65536
s.shutdown(socket.SHUT_WR)
print(sent, s.makefile().read())
"#;

#[test]
fn a_reset_reaches_an_origin_although_neither_side_takes_anything() -> Result<()> {
    let prelude = r"
import select, socket, sys
ADDRESS = ('10.77.0.2', 8080)

def fill(sock):
    '''Sends until nothing was taken for a second.'''
    sock.setblocking(False)
    try:
        while select.select([], [sock], [], 1)[1]:
            sock.send(bytes(1 << 16))
    except OSError as error:
        return type(error).__name__
    return 'full'
";
    let origin = r"
listener = socket.create_server(ADDRESS)
print('ready', flush=True)
with listener.accept()[0] as sock:
    fill(sock)
    poll = select.poll()
    poll.register(sock, 0)
    print(seen := 'reset' if poll.poll(10_000) else 'nothing')
with listener.accept()[0] as sock:
    sock.sendall(seen.encode())
sys.stdin.read()
";
    let program = r"
with socket.create_connection(ADDRESS, 20) as sock:
    print(fill(sock))
with socket.create_connection(ADDRESS, 20) as sock:
    print(sock.recv(100).decode())
";
    TwoSided { prelude, origin, program }.like_direct()?.check("full\nreset", "reset")
}
