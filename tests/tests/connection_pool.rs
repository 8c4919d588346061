// SPDX-License-Identifier: Apache-2.0
//! `connectionPool.maxConnections`: the server never sees more connections, an idle one gives way to whoever needs its
//! place, whichever worker keeps it, and who finds none that does waits as long as `maxWait` says.

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{Seen, TwoSided};
use anyhow::Result;

/// Runs `program` under the limits `pool` of everything that it dials.
fn under(pool: &str, program: &str) -> Result<Seen> {
    by(&format!("version: v1\ndefaults:\n  connectionPool: {pool}\n"), program)
}

fn by(policy: &str, program: &str) -> Result<Seen> {
    let program = format!("{CLIENT}\n{program}");
    TwoSided { prelude: "", origin: ORIGIN, program: &program }.under(&Ambassador::with_policy("-q", policy)?)
}

#[test]
fn an_idle_connection_refuses_no_request_whichever_worker_keeps_it() -> Result<()> {
    let program = "said(curl(9500 + i % 2) for i in range(40))";
    under("{maxConnections: 1}", "said(curl(9500) for i in range(40))")?.check("200 x 40", "most 1")?;
    under("{maxConnections: 1, maxPendingRequests: 10, maxWait: 3s}", "said(curl(9500) for i in range(40))")?
        .check("200 x 40", "most 1")?;
    // Each address that is dialled has a limit of its own.
    under("{maxConnections: 1}", program)?.check("200 x 40", "most 2")
}

#[test]
fn many_threads_find_a_place_each() -> Result<()> {
    let program = "said(sum(at_once(4, lambda i: [ask(9500, b'/') for _ in range(50)]), []))";
    under("{maxConnections: 4, maxPendingRequests: 10, maxWait: 3s}", program)?.check("200 x 200", "most 4")
}

#[test]
fn an_idle_connection_to_another_endpoint_gives_way_too() -> Result<()> {
    let policy = "version: v1\nroutes: [{name: all, match: {ports: [9500]}, upstream: pair}]\nupstreams:\n  - name: pair\n    endpoints: [{host: 10.77.0.2, port: 9501}, {host: 10.77.0.2, port: 9502}]\n    connectionPool: {maxConnections: 1}\n";
    by(policy, "said(curl(9500) for i in range(40))")?.check("200 x 40", "most 1")
}

#[test]
fn who_finds_all_places_taken_waits_in_line() -> Result<()> {
    let program = "said(at_once(6, lambda i: ask(9500, b'/slow')))";
    under("{maxConnections: 2, maxPendingRequests: 10, maxWait: 20s}", program)?
        .check("200 x 6", "most 2")?;
    // Nobody may wait without either; with one of them, a bounded number, or for a bounded time.
    under("{maxConnections: 2}", program)?.check("200 x 2, 503 x 4", "most 2")?;
    under("{maxConnections: 2, maxPendingRequests: 1, maxWait: 20s}", program)?
        .check("200 x 3, 503 x 3", "most 2")?;
    under("{maxConnections: 2, maxWait: 50ms}", program)?.check("200 x 2, 503 x 4", "most 2")
}

#[test]
fn flows_of_bytes_wait_in_line_too() -> Result<()> {
    let program = "said(at_once(6, lambda i: talk(9500)))";
    under("{maxConnections: 2, maxWait: 20s}", program)?.check("echo x 6", "most 2")?;
    under("{maxConnections: 2}", program)?.check("echo x 2, reset x 4", "most 2")
}

/// The program's own connection stays; only what carries it on goes, and comes again with its next request.
#[test]
fn a_programs_kept_connection_gives_its_place_up_while_it_is_idle() -> Result<()> {
    let program = "first, second = connect(9500), connect(9500)\nsaid(post(kept) for _ in range(10) for kept in (first, second))";
    under("{maxConnections: 1}", program)?.check("200 x 20", "most 1")
}

#[test]
fn idle_connections_end_as_configured_for_all() -> Result<()> {
    // What a POST goes out on is a connection of its own, and its answer waits for the end of the other one.
    let program = "said([curl(9500), post(connect(9500), b'/until-alone')])";
    under("{maxConnections: 4, idleTimeout: 1s}", program)?.check("200 x 2", "most 2")
}

/// Counts the connections that are open at once. What has ended is seen before what begins.
const ORIGIN: &str = r#"
import heapq, selectors, socket, sys, time
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
events = selectors.DefaultSelector()
listeners = []
for port in (9500, 9501, 9502):
    listeners.append(socket.create_server(("10.77.0.2", port), backlog=256))
    events.register(listeners[-1], selectors.EVENT_READ)
events.register(sys.stdin, selectors.EVENT_READ)
seen, due, alone, most = {}, [], [], 0
def end(peer):
    events.unregister(peer)
    del seen[peer]
    peer.close()
def read(peer):
    try:
        got = peer.recv(65536)
    except BlockingIOError:
        return
    except OSError:
        got = b""
    if not got:
        return end(peer)
    seen[peer] += got
    if seen[peer].endswith(b"\r\n\r\n"):
        path = seen[peer].split()[1]
        seen[peer] = b""
        if path == b"/until-alone":
            alone.append(peer)
        elif path == b"/slow":
            heapq.heappush(due, (time.monotonic() + 0.3, id(peer), peer, OK))
        else:
            peer.sendall(OK)
    elif seen[peer] == b"hello":
        heapq.heappush(due, (time.monotonic() + 0.3, id(peer), peer, b"echo"))
print("ready", flush=True)
while True:
    wait = max(0, due[0][0] - time.monotonic()) if due else None
    ready = [key.fileobj for key, _ in events.select(wait)]
    if sys.stdin in ready:
        break
    for listener in listeners:
        if listener in ready:
            for peer in list(seen):
                read(peer)
            peer, _ = listener.accept()
            peer.setblocking(False)
            seen[peer] = b""
            most = max(most, len(seen))
            events.register(peer, selectors.EVENT_READ)
    for peer in ready:
        if peer in seen:
            read(peer)
    while due and due[0][0] <= time.monotonic():
        _, _, peer, what = heapq.heappop(due)
        if peer in seen:
            peer.sendall(what)
            if what == b"echo":
                end(peer)
    if alone and len(seen) == 1:
        alone.pop().sendall(OK)
print("most", most)
"#;

const CLIENT: &str = r#"
import collections, concurrent.futures, socket, subprocess
HOST = "10.77.0.2"
def said(all):
    counted = sorted(collections.Counter(all).items())
    print(", ".join("%s x %d" % one for one in counted))
def at_once(count, work):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
def curl(port, path=b"/"):
    url = "http://%s:%d%s" % (HOST, port, path.decode())
    format = "%{http_code}"
    return subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", format, url], stdout=subprocess.PIPE).stdout.decode()
def connect(port):
    return socket.create_connection((HOST, port), 30)
def status(peer):
    return peer.recv(65536).split()[1].decode()
def ask(port, path):
    with connect(port) as peer:
        peer.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        return status(peer)
def post(peer, path=b"/"):
    peer.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    return status(peer)
def talk(port):
    try:
        with connect(port) as peer:
            peer.sendall(b"hello")
            return peer.recv(100).decode()
    except ConnectionResetError:
        return "reset"
"#;
