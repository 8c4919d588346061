// SPDX-License-Identifier: Apache-2.0
//! NTLM and Negotiate authenticate a connection, not a request: who has authenticated keeps the connection, and nobody
//! else ever gets it.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use ambassador_tests::http::{header, read_request};
use ambassador_tests::{Ambassador, Link, TcpPeer};
use anyhow::{Result, ensure};

/// What each origin saw: who was authenticated on which connection.
type Seen = Arc<Mutex<Vec<String>>>;

/// Serves a connection as IIS does: the first leg is challenged, the second authenticates the connection, and whatever
/// comes on it afterwards is that user's. A request that says it is from another user is a stolen identity.
fn serve(mut stream: &TcpStream, seen: &Seen) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut user: Option<String> = None;
    while let Some(request) = read_request(&mut reader, 0)? {
        let me = header(&request.head, "x-user").unwrap_or_default().to_owned();
        let authorization = header(&request.head, "authorization").unwrap_or_default().to_owned();
        let answer = match (&user, authorization.split_once(' ')) {
            (Some(known), _) if *known != me => format!("STOLEN {known} by {me}"),
            (None, Some((scheme, "leg1"))) => {
                write!(
                    stream,
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic, {scheme} challenge\r\nContent-Length: 0\r\n\r\n"
                )?;
                continue;
            }
            (None, Some((_, "leg2"))) => {
                user = Some(me.clone());
                format!("hello {me}")
            }
            (Some(known), _) => format!("again {known}"),
            (None, _) if request.path == "/open" => "open".to_owned(),
            (None, _) => {
                write!(
                    stream,
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
                )?;
                continue;
            }
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(answer.clone());
        if request.path == "/silent" {
            continue;
        }
        if request.path == "/down" {
            let length = answer.len();
            let head = "HTTP/1.1 503 Down\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {length}\r\n\r\n{answer}")?;
            return Ok(());
        }
        if request.path == "/last" {
            // It closes without having said so, as when its timer runs out.
            return Ok(());
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
    Ok(())
}

fn origins(link: &Link, ports: &[u16]) -> Result<(Vec<TcpPeer>, Seen)> {
    let seen = Seen::default();
    let peers = ports.iter().map(|port| {
        let seen = Arc::clone(&seen);
        TcpPeer::start(&link.server, Link::v4(*port), move |stream, _| serve(stream, &seen))
    });
    Ok((peers.collect::<Result<_>>()?, seen))
}

const POLICY: &str = "version: v1\ndefaults:\n  retry: {attempts: 2}\n  timeouts: {request: 20s}\n  connectionPool: {maxConnections: 3}\n";
const ENDPOINTS: &str = "version: v1\nroutes:\n  - name: farm\n    match: {ports: [9000]}\n    upstream: farm\nupstreams:\n  - name: farm\n    endpoints: [{host: 10.77.0.2, port: 9000}, {host: 10.77.0.2, port: 9001}, {host: 10.77.0.2, port: 9002}]\n    connectionPool: {maxConnections: 20}\n";

#[test]
fn users_keep_their_connections_and_get_nobody_elses() -> Result<()> {
    let link = Link::new()?;
    let (_peers, seen) = origins(&link, &[9000, 9001, 9002])?;
    let program = ["/usr/bin/python3", "-c", TWO_USERS];
    for ambassador in [
        Ambassador::run("-q")?,
        Ambassador::run("-q --mode off --retry 1")?,
        Ambassador::with_policy("-q", POLICY)?,
        Ambassador::with_policy("-q", ENDPOINTS)?,
    ] {
        ambassador.check_like_direct(&link.client, &program, b"")?.expect_success()?;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(!seen.iter().any(|answer| answer.starts_with("STOLEN")), "{ambassador:?}: {seen:?}");
        let mut counts = HashMap::new();
        for answer in &seen {
            *counts.entry(answer.as_str()).or_insert(0) += 1;
        }
        // Twice, because the direct run was seen as well.
        ensure!(counts["hello alice"] == 4 && counts["again alice"] == 32, "{ambassador:?}: {counts:?}");
    }
    Ok(())
}

#[test]
fn the_end_of_an_authenticated_connection_is_the_programs_to_see() -> Result<()> {
    let link = Link::new()?;
    let (_peers, seen) = origins(&link, &[9000])?;
    let program = ["/usr/bin/python3", "-c", LOSES_ITS_CONNECTION, "/last"];
    let under = Ambassador::run("-q")?.check_like_direct(&link.client, &program, b"")?.expect_success()?;
    ensure!(under.text().trim() == "hello alice, then the end", "{}", under.text());
    let policy = Ambassador::with_policy("-q", POLICY)?.output(&link.client, &program)?;
    ensure!(policy.text().starts_with("hello alice, then "), "{}{}", policy.text(), policy.errors());
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(seen.len() == 6, "no request was sent a second time: {seen:?}");
    Ok(())
}

/// A failure is worth another attempt, but not as somebody whom the origin does not know: with the failure goes the
/// connection, and with that the user.
#[test]
fn a_failure_that_ends_an_authenticated_connection_is_not_retried_on_another() -> Result<()> {
    let link = Link::new()?;
    let (_peers, seen) = origins(&link, &[9000])?;
    let program = ["/usr/bin/python3", "-c", LOSES_ITS_CONNECTION, "/down"];
    for policy in [POLICY.to_owned(), POLICY.replace("attempts: 2", "attempts: 2, retryOn: [5xx]")] {
        let run = Ambassador::with_policy("-q", &policy)?;
        let run = run.check_like_direct(&link.client, &program, b"")?.expect_success()?;
        ensure!(run.text().trim() == "hello alice, then again alice", "{}", run.text());
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(seen.len() == 4, "each request came once in each of both runs: {seen:?}");
    }
    Ok(())
}

#[test]
fn an_attempt_that_took_too_long_is_not_repeated_as_somebody_unknown() -> Result<()> {
    let link = Link::new()?;
    let (_peers, seen) = origins(&link, &[9000])?;
    let program = ["/usr/bin/python3", "-c", LOSES_ITS_CONNECTION, "/silent"];
    let policy = POLICY.replace("request: 20s", "request: 20s, perTry: 1s");
    let run = Ambassador::with_policy("-q", &policy)?.output(&link.client, &program)?;
    ensure!(run.text().starts_with("hello alice, then ambassador: an attempt took"), "{}", run.text());
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(*seen == ["hello alice", "again alice"], "{seen:?}");
    Ok(())
}

/// A connection is known to one upstream only: what is meant for another one never goes there.
#[test]
fn a_request_for_another_upstream_leaves_the_authenticated_connection() -> Result<()> {
    let link = Link::new()?;
    let (_first, to_first) = origins(&link, &[9000])?;
    let (_second, to_second) = origins(&link, &[9001])?;
    let run = Ambassador::with_policy("-q", TWO_UPSTREAMS)?;
    let run = run.output(&link.client, &["/usr/bin/python3", "-c", TWO_PATHS])?.expect_success()?;
    let seen = |at: Seen| std::mem::take(&mut *at.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(run.text().trim() == "hello alice, open, again alice", "{}", run.text());
    let (first, second) = (seen(to_first), seen(to_second));
    ensure!(first == ["hello alice", "again alice"] && second == ["open"], "{first:?} {second:?}");
    Ok(())
}

/// Nobody has challenged yet, but what the program says makes its connection known; said again, it may be refused.
#[test]
fn the_first_credentials_of_a_connection_are_sent_once() -> Result<()> {
    let link = Link::new()?;
    let (_peers, seen) = origins(&link, &[9000])?;
    let program = ["/usr/bin/python3", "-c", SAYS_WHO_IT_IS];
    Ambassador::with_policy("-q", POLICY)?.output(&link.client, &program)?.expect_success()?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(*seen == ["hello alice"], "{seen:?}");
    Ok(())
}

const TWO_UPSTREAMS: &str = "version: v1\nroutes:\n  - name: open\n    match: {paths: [{exact: /open}]}\n    upstream: open\n  - name: farm\n    match: {ports: [9000]}\n    upstream: farm\nupstreams:\n  - name: farm\n    endpoints: [{host: 10.77.0.2, port: 9000}]\n  - name: open\n    endpoints: [{host: 10.77.0.2, port: 9001}]\n";

const TWO_USERS: &str = r#"
import socket
class User:
    def __init__(self, name, scheme):
        self.name, self.scheme = name, scheme
        self.socket = socket.create_connection(("10.77.0.2", 9000), 10)
        self.file = self.socket.makefile("rb")
    def ask(self, path, authorization=""):
        line = "Authorization: %s %s\r\n" % (self.scheme, authorization) if authorization else ""
        self.socket.sendall(("GET %s HTTP/1.1\r\nHost: a\r\nX-User: %s\r\n%s\r\n" % (path, self.name, line)).encode())
        status, length = self.file.readline().split()[1].decode(), 0
        while line := self.file.readline().strip().decode().lower():
            if line.startswith("content-length:"): length = int(line.split(":")[1])
        return status + " " + self.file.read(length).decode()
    def authenticate(self):
        return [self.ask("/"), self.ask("/", "leg1"), self.ask("/", "leg2")]
    def close(self):
        self.file.close(); self.socket.close()
for scheme in ("NTLM", "Negotiate"):
    # A connection that was left by somebody unknown may be anybody's, until it is somebody's.
    early = User("early", scheme); print(early.ask("/open")); early.close()
    alice = User("alice", scheme)
    print(alice.authenticate())
    bob = User("bob", scheme)
    print(bob.authenticate())
    for _ in range(4): print(alice.ask("/a"), bob.ask("/b"))
    bob.close()
    carol = User("carol", scheme)
    print(carol.ask("/c"), alice.ask("/a"))
    print(carol.authenticate(), [alice.ask("/a") for _ in range(3)])
    alice.close(); carol.close()
    late = User("late", scheme); print(late.ask("/l")); late.close()
"#;

const LOSES_ITS_CONNECTION: &str = r#"
import socket, sys
s = socket.create_connection(("10.77.0.2", 9000), 10)
f = s.makefile("rb")
def ask(path, leg):
    s.sendall(("GET %s HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nAuthorization: NTLM %s\r\n\r\n" % (path, leg)).encode())
    status, length = f.readline(), 0
    if not status: return "the end"
    while line := f.readline().strip().decode().lower():
        if line.startswith("content-length:"): length = int(line.split(":")[1])
    return f.read(length).decode()
ask("/", "leg1")
print(ask("/", "leg2") + ", then " + ask(sys.argv[1], "leg1"))
"#;

const TWO_PATHS: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 9000), 10)
f = s.makefile("rb")
def ask(path, line):
    s.sendall(("GET %s HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n%s\r\n" % (path, line)).encode())
    f.readline()
    while line := f.readline().strip().decode().lower():
        if line.startswith("content-length:"): length = int(line.split(":")[1])
    return f.read(length).decode()
ask("/", "Authorization: NTLM leg1\r\n")
print(", ".join([ask("/", "Authorization: NTLM leg2\r\n"), ask("/open", ""), ask("/a", "")]))
"#;

const SAYS_WHO_IT_IS: &str = r#"
import socket
s = socket.create_connection(("10.77.0.2", 9000), 10)
s.sendall(b"GET /last HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nAuthorization: Negotiate leg2\r\n\r\n")
s.recv(4096)
"#;
