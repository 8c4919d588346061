// SPDX-License-Identifier: Apache-2.0
//! A connection lives as long as it does without ambassador: neither its server nor the program sees it begin, end or
//! break in another way.

use std::io::{BufRead, BufReader, Write};
use std::sync::{Mutex, PoisonError};

use ambassador_tests::{Ambassador, Link, TcpPeer, comparison};
use anyhow::{Result, ensure};

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
