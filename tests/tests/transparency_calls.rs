// SPDX-License-Identifier: Apache-2.0
//! What a socket answers to calls beyond `read` and `write`: the same as without ambassador.
//!
//! Each program prints what it was told; where something is on its way, it waits for it before it asks.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ambassador_tests::{Ambassador, Link, TcpPeer, comparison};
use anyhow::{Result, ensure};

const SOON: Duration = Duration::from_secs(20);
/// The ways in which a user starts ambassador without a file.
const WAYS: [&str; 3] = ["-q", "-q --mode off", "-q --retry 2 --timeout 30s"];

/// Runs `script` directly and in every way; returns what all of them printed.
fn check(link: &Link, script: &str) -> Result<String> {
    let program = comparison::python(script);
    let mut told = String::new();
    for flags in WAYS {
        told = Ambassador::run(flags)?.check_like_direct(&link.client, &program, b"")?.text();
    }
    Ok(told)
}

const UNPARSED: &str = r#"
import hashlib, tempfile
content = bytes(n * 7 % 251 for n in range(3000000))
with tempfile.TemporaryFile() as file:
    file.write(content)
    file.flush()
    for way in ("sendfile", "splice"):
        s = socket.create_connection(("10.77.0.2", 7410), timeout=20)
        s.setblocking(True)
        at, (out, into) = 0, os.pipe()
        while at < len(content):
            if way == "sendfile":
                at += os.sendfile(s.fileno(), file.fileno(), at, len(content) - at)
                continue
            piece = os.splice(file.fileno(), into, 65536, offset_src=at)
            at += piece
            while piece:
                piece -= os.splice(out, s.fileno(), piece)
        s.shutdown(socket.SHUT_WR)
        received = b""
        while piece := os.splice(s.fileno(), into, 65536):
            received += os.read(out, piece)
        print(way, len(received), received == content)
"#;

/// The kernel moves the bytes on the program's side, both ways.
#[test]
fn sendfile_and_splice_move_all_bytes() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7410), |mut stream, _| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(stream.write_all(&bytes)?)
    })?;
    let told = check(&link, UNPARSED)?;
    ensure!(told == "sendfile 3000000 True\nsplice 3000000 True\n", "{told}");
    Ok(())
}

const PEEKED: &str = r#"
import fcntl, termios
def count(request):
    return struct.unpack("i", fcntl.ioctl(s, request, b"\0\0\0\0"))[0]
s = socket.create_connection(("10.77.0.2", 7411), timeout=5)
s.setblocking(True)
print("before", count(termios.FIONREAD))
s.sendall(b"x")
print("waited", s.recv(10, socket.MSG_PEEK | socket.MSG_WAITALL), count(termios.FIONREAD))
print("again", s.recv(4, socket.MSG_PEEK), count(termios.FIONREAD))
print("read", s.recv(4), count(termios.FIONREAD))
print("peeked", s.recv(99, socket.MSG_PEEK), s.recv(99), count(termios.FIONREAD))
try:
    s.recv(1, socket.MSG_DONTWAIT)
except BlockingIOError:
    print("nothing")
s.sendall(b"x")
print("end", s.recv(1, socket.MSG_PEEK), s.recv(1), count(termios.FIONREAD))
"#;

/// What was peeked at is still there, and counted.
#[test]
fn what_has_arrived_can_be_peeked_at_and_counted() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7411), |mut stream, _| {
        stream.read_exact(&mut [0])?;
        stream.write_all(b"0123456789")?;
        Ok(stream.read_exact(&mut [0])?)
    })?;
    let told = check(&link, PEEKED)?;
    let want = "before 0\nwaited b'0123456789' 10\nagain b'0123' 10\nread b'0123' 6\n\
                peeked b'456789' b'456789' 0\nnothing\nend b'' b'' 0\n";
    ensure!(told == want, "{told}");
    Ok(())
}

const UNSENT: &str = r#"
import fcntl, termios
def count():
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
s = socket.create_connection(("10.77.0.2", 7412), timeout=5)
print("before", count())
s.sendall(b"x" * 1000)
assert s.recv(1) == b"."
until = time.monotonic() + 5
while count() and time.monotonic() < until:
    time.sleep(0.001)
print("read by the server", count())
s.setblocking(False)
sent, last = 0, time.monotonic()
while time.monotonic() - last < 0.3:
    try:
        sent, last = sent + s.send(b"y" * 65536), time.monotonic()
    except BlockingIOError:
        select.select([], [s], [], 0.1)
print("a server that does not read", count() > 0, sent > count())
socket.create_connection(("10.77.0.2", 7412), timeout=5).recv(1)
s.setblocking(True)
s.shutdown(socket.SHUT_WR)
print("all arrived", int(s.makefile().read()) == sent, count())
"#;

/// What a slow server has not taken piles up in the socket; what was read is gone from it.
#[test]
fn what_was_not_taken_yet_is_counted_by_siocoutq() -> Result<()> {
    let link = Link::new()?;
    let (measured, may_read) = channel();
    let may_read = Mutex::new(may_read);
    let _server = TcpPeer::start(&link.server, Link::v4(7412), move |mut stream, number| {
        if number % 2 == 1 {
            return Ok(measured.send(())?);
        }
        stream.read_exact(&mut [0; 1000])?;
        stream.write_all(b".")?;
        may_read.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SOON)?;
        let read = std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(write!(stream, "{read}")?)
    })?;
    let told = check(&link, UNSENT)?;
    let want = "before 0\nread by the server 0\na server that does not read True True\n\
                all arrived True 0\n";
    ensure!(told == want, "{told}");
    Ok(())
}

const DEAF: &str = r#"
for first in (b"\0raw", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
    s = socket.create_connection(("10.77.0.2", 7413), timeout=5)
    s.shutdown(socket.SHUT_RD)
    print("nothing yet", s.recv(9))
    s.sendall(first)
    s.setblocking(True)
    poll = select.poll()
    poll.register(s.fileno(), select.POLLIN)
    # Linux still hands out what arrives afterwards.
    received = b""
    until = time.monotonic() + 5
    while len(received) < 40 and time.monotonic() < until:
        received += s.recv(40 - len(received))
    print(received, s.recv(9))
    s.sendall(b"!")
    s.shutdown(socket.SHUT_WR)
    print("ended", s.recv(9))
"#;

/// A program that has shut down its reading side still sends, and is still served.
#[test]
fn a_program_may_shut_down_its_reading_side() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7413), |mut stream, _| {
        stream.read_exact(&mut [0; 4])?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    })?;
    let told = check(&link, DEAF)?;
    ensure!(told.matches("ok'").count() == 2 && told.matches("ended b''").count() == 2, "{told}");
    Ok(())
}
