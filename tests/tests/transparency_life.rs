// SPDX-License-Identifier: Apache-2.0
//! A connection lives as long as it does without ambassador: neither its server nor the program sees it begin, end or
//! break in another way.

use std::io::{BufRead, BufReader, Read, Write};
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ambassador_tests::{Ambassador, Link, TcpPeer, comparison, wait};
use anyhow::{Result, ensure};
use socket2::SockRef;

/// The ways in which a user starts ambassador without a file.
const WAYS: [&str; 3] = ["-q", "-q --mode off", "-q --retry 2 --timeout 30s"];

const ONE_AFTER_THE_OTHER: &str = r#"
import http.client
for method in ("GET", "POST", "GET", "HEAD", "POST"):
    connection = http.client.HTTPConnection("10.77.0.2", 7400, timeout=5)
    for _ in range(2):
        connection.request(method, "/")
        reply = connection.getresponse()
        print(method, reply.status, reply.read())
    connection.close()
"#;

/// The server keeps its connections alive and serves the next one when its client has closed the one before.
#[test]
fn a_server_of_one_connection_at_a_time() -> Result<()> {
    let link = Link::new()?;
    let turn = Mutex::new(());
    let server = TcpPeer::start(&link.server, Link::v4(7400), move |mut stream, number| {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = BufReader::new(stream).lines();
        while let Some(request) = lines.next().transpose()? {
            while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
            let body = if request.starts_with("HEAD") { "" } else { "done" };
            write!(stream, "HTTP/1.1 200 OK\r\nX-Connection: {number}\r\nContent-Length: 4\r\n\r\n{body}")?;
        }
        Ok(())
    })?;
    for flags in WAYS {
        let before = server.accepted();
        Ambassador::run(flags)?.check_like_direct(
            &link.client,
            &comparison::python(ONE_AFTER_THE_OTHER),
            b"",
        )?;
        ensure!(server.accepted() - before == 10, "{flags}: {} connections", server.accepted() - before);
    }
    Ok(())
}

const STALE: &str = r#"
import http.client
for method in ("POST", "GET", "POST"):
    connection = http.client.HTTPConnection("10.77.0.2", 7401, timeout=5)
    connection.request(method, "/first", body=b"x")
    print(connection.getresponse().read())
    try:
        connection.request("POST", "/second", body=b"x")
        print(connection.getresponse().status)
    except ConnectionError as error:
        print(type(error).__name__)
    connection.close()
"#;

/// A request meets the end of the connection that its program has kept: not even a policy may answer it, because the
/// program's own library knows what to do.
#[test]
fn a_kept_connection_that_closes_under_a_request_closes_for_the_program() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7401), |mut stream, _| {
        let mut pieces = BufReader::new(stream).split(b'x');
        pieces.next().transpose()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")?;
        // It reads the second request, and ends in order.
        pieces.next().transpose()?;
        Ok(())
    })?;
    for flags in WAYS {
        let program = comparison::python(STALE);
        let told = Ambassador::run(flags)?.check_like_direct(&link.client, &program, b"")?.text();
        ensure!(told.matches("RemoteDisconnected").count() == 3, "{told}");
    }
    Ok(())
}

const GIVEN_UP: &str = r#"
s = socket.create_connection(("10.77.0.2", 7404), timeout=5)
s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
s.shutdown(socket.SHUT_WR)
while s.recv(4096): pass
"#;

/// The server ends a request whose program has ended its side: nobody waits for it any more, so it is not repeated.
#[test]
fn a_request_that_its_program_has_given_up_is_not_repeated() -> Result<()> {
    let link = Link::new()?;
    let server = TcpPeer::start(&link.server, Link::v4(7404), |mut stream, _| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })?;
    for flags in WAYS {
        let before = server.accepted();
        Ambassador::run(flags)?.check_like_direct(&link.client, &comparison::python(GIVEN_UP), b"")?;
        ensure!(server.accepted() - before == 2, "{flags}: {} connections", server.accepted() - before);
    }
    Ok(())
}

const URGENT: &str = r#"
for inline in (0, 1):
    s = socket.create_connection(("10.77.0.2", 7402), timeout=5)
    s.sendall(bytes([inline]) + b"ab")
    assert s.recv(1) == b"."
    s.send(b"!", socket.MSG_OOB)
    assert s.recv(1) == b"."
    s.sendall(b"cd")
    s.shutdown(socket.SHUT_WR)
    print(s.makefile().read())
"#;

/// What a server reads apart stays apart, and what it reads in its place stays there.
#[test]
fn urgent_data_stays_urgent() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7402), |mut stream, _| {
        let mut first = [0; 3];
        stream.read_exact(&mut first)?;
        let socket = SockRef::from(stream);
        socket.set_out_of_band_inline(first[0] == 1)?;
        stream.write_all(b".")?;
        let apart = first[0] == 0;
        if apart {
            wait::until_true("an urgent byte", Duration::from_secs(5), || {
                socket.recv_out_of_band(&mut [MaybeUninit::uninit()]).is_ok()
            })?;
        }
        stream.write_all(b".")?;
        let mut rest = String::new();
        stream.read_to_string(&mut rest)?;
        Ok(write!(stream, "apart={apart} {rest}")?)
    })?;
    for flags in WAYS {
        let program = comparison::python(URGENT);
        let told = Ambassador::run(flags)?.check_like_direct(&link.client, &program, b"")?.text();
        ensure!(told == "apart=true cd\napart=false !cd\n", "{told}");
    }
    Ok(())
}

const BEGINS_URGENTLY: &str = r#"
s = socket.create_connection(("10.77.0.2", 7405), timeout=5)
s.send(b"!", socket.MSG_OOB)
s.sendall(b"cd")
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
"#;

#[test]
fn a_program_may_begin_with_urgent_data() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7405), |mut stream, _| {
        let mut urgent = [MaybeUninit::uninit()];
        wait::until_true("an urgent byte", Duration::from_secs(5), || {
            SockRef::from(stream).recv_out_of_band(&mut urgent).is_ok()
        })?;
        let mut rest = String::new();
        stream.read_to_string(&mut rest)?;
        Ok(write!(stream, "apart, then {rest}")?)
    })?;
    for flags in WAYS {
        let program = comparison::python(BEGINS_URGENTLY);
        let told = Ambassador::run(flags)?.check_like_direct(&link.client, &program, b"")?.text();
        ensure!(told == "apart, then cd\n", "{told}");
    }
    Ok(())
}

const URGENT_FIRST: &str = r#"
s = socket.create_connection(("10.77.0.2", 7403))
poll = select.poll()
poll.register(s.fileno(), select.POLLPRI)
print(len(poll.poll(5000)), s.recv(1, socket.MSG_OOB))
s.sendall(b"x")
print(s.recv(9))
"#;

#[test]
fn a_server_may_begin_with_urgent_data() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7403), |mut stream, _| {
        SockRef::from(stream).send_out_of_band(b"!")?;
        stream.read_exact(&mut [0])?;
        Ok(stream.write_all(b"rest")?)
    })?;
    let program = comparison::python(URGENT_FIRST);
    let told = Ambassador::run("-q")?.check_like_direct(&link.client, &program, b"")?.text();
    ensure!(told == "1 b'!'\nb'rest'\n", "{told}");
    Ok(())
}
