// SPDX-License-Identifier: Apache-2.0
//! TCP Fast Open (RFC 7413): programs whose SYN carries data already. The connect tells the truth as any other does, and
//! the origin gets the data once, whoever sends it again.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use ambassador_tests::{Ambassador, Comparison, Destinations, Link, Namespace, TcpPeer};
use anyhow::{Context, Result, ensure};

const PORT: u16 = 7500;
/// What the way through the proxy may add.
const AT_ONCE: Duration = Duration::from_millis(40);

/// `net.ipv4.tcp_fastopen`: a client that sends data once it has a cookie, which is Linux' default.
const CLIENT: u32 = 0x1;
/// A client that sends data without a cookie, too.
const CLIENT_AT_ONCE: u32 = 0x5;
/// Every listener takes data, from clients with a cookie.
const SERVER: u32 = 0x402;
/// Every listener takes data from anybody.
const SERVER_OF_ANYBODY: u32 = 0x602;

/// Of 12 SYNs those that ask for a cookie first have no data, and the kernel may have reasons of its own.
const MOST: u64 = 8;

fn set(namespace: &Namespace, mode: u32) -> Result<()> {
    namespace.enter(|| Ok(fs::write("/proc/sys/net/ipv4/tcp_fastopen", mode.to_string())?))
}

/// A counter of `/proc/net/netstat`.
fn counted(namespace: &Namespace, name: &str) -> Result<u64> {
    let page = namespace.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/netstat")?))?;
    let lines: Vec<Vec<&str>> = page.lines().map(|line| line.split(' ').collect()).collect();
    let pair = lines.chunks(2).find(|pair| pair[0][0] == "TcpExt:").context("no TcpExt")?;
    let at = pair[0].iter().position(|field| *field == name).with_context(|| format!("no {name}"))?;
    pair[1][at].parse().context(name.to_owned())
}

/// Answers with the number of bytes that came, and with the bytes.
fn echo(namespace: &Namespace, address: SocketAddr) -> Result<TcpPeer> {
    TcpPeer::start(namespace, address, |mut stream, _| {
        let mut came = Vec::new();
        stream.read_to_end(&mut came)?;
        Ok(stream.write_all(&[format!("{} ", came.len()).as_bytes(), &came].concat())?)
    })
}

/// Sends `hello\n`, or more than a segment takes, in each way and twice: the second SYN has the cookie of the first.
const EXCHANGES: &str = r#"
def exchange(way, address, data):
    with socket.socket(family_of(address)) as s:
        if way == "connect":
            s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            s.connect(address)
            s.sendall(data)
        else:
            sent = s.sendto(data, socket.MSG_FASTOPEN, address)
            s.sendall(data[sent:])
        s.shutdown(socket.SHUT_WR)
        answer = s.makefile("rb").read()
    if answer == b"%d %s" % (len(data), data):
        return "once"
    return "%d-bytes:%s" % (len(answer), answer[:99].hex())
for host in ("10.77.0.2", "fd77::2"):
    for way in ("connect", "send"):
        for size in (6, 6, 40000):
            data = b"hello\n" if size == 6 else b"".join(b"%7d\n" % n for n in range(size // 8))
            say("%s-%s-%d" % (host, way, size), lambda: exchange(way, (host, 7500), data))
"#;

/// Nothing is lost and nothing doubled, and under ambassador so many SYNs at least had data.
fn check_once(client_mode: u32, server_mode: u32, least_under: u64) -> Result<()> {
    let destinations = Destinations::new()?;
    let Link { client, server } = &destinations.link;
    set(client, client_mode)?;
    set(server, server_mode)?;
    let _echo = [echo(server, Link::v4(PORT))?, echo(server, Link::v6(PORT))?];
    let comparison = Comparison::run(&Ambassador::run("-q")?, client, EXCHANGES)?;
    for (run, told) in [("direct", &comparison.direct), ("under", &comparison.under)] {
        let once = told.iter().filter(|told| told.result == "once").count();
        ensure!((once, told.len()) == (12, 12), "{run}: {told:#?}\n{}", comparison.errors);
    }
    // Else nothing was shown: data went with a SYN directly, and under ambassador.
    let taken = counted(server, "TCPFastOpenPassive")?;
    let sent = counted(client, "TCPFastOpenActive")? + counted(client, "TCPFastOpenActiveFail")?;
    let under = sent.checked_sub(taken).context("the server took more than was sent")?;
    ensure!(
        taken >= MOST && under >= least_under,
        "{taken} directly, {under} of at least {least_under} under"
    );
    Ok(())
}

#[test]
fn data_of_a_syn_with_a_cookie_arrives_once() -> Result<()> {
    // A listener of ambassador has no cookie to give.
    check_once(CLIENT, SERVER, 0)
}

#[test]
fn data_of_a_syn_without_a_cookie_arrives_once() -> Result<()> {
    check_once(CLIENT_AT_ONCE, SERVER_OF_ANYBODY, MOST)
}

/// Ambassador's own listeners are in the client's namespace: they take data, too.
#[test]
fn data_of_a_syn_arrives_once_where_every_listener_takes_it() -> Result<()> {
    check_once(CLIENT | SERVER, SERVER, MOST)?;
    check_once(CLIENT_AT_ONCE | SERVER_OF_ANYBODY, SERVER_OF_ANYBODY, MOST)
}

/// The data of a SYN is not lost: the program sends it again when it is not acknowledged.
#[test]
fn a_syn_with_data_is_told_the_truth() -> Result<()> {
    for server_mode in [0, SERVER_OF_ANYBODY] {
        let destinations = Destinations::new()?;
        let Link { client, server } = &destinations.link;
        set(client, CLIENT_AT_ONCE)?;
        set(server, server_mode)?;
        let script = "
for way in ('fastopen-connect', 'fastopen-send'):
    for place in ('open', 'closed', 'unreachable', 'no-route', 'open6', 'closed6'):
        say(way + '-' + place, lambda: dial(way, PLACES[place], 5))
        say('again-' + way + '-' + place, lambda: dial(way, PLACES[place], 5))
";
        let comparison = Comparison::run(&Ambassador::run("-q")?, client, script)?;
        comparison.check_direct(&[("fastopen-send-open", "connected")])?;
        comparison.check(AT_ONCE)?;
    }
    Ok(())
}
