// SPDX-License-Identifier: Apache-2.0
//! Replies reach the program byte for byte and end as the origin ended them, whatever they are: HTTP or not.

use std::io::{Read, Write};

use ambassador_tests::script::{BEAT, Case, Step, check, exchange, in_every_mode, reply, send};
use ambassador_tests::two_sided::TwoSided;
use ambassador_tests::{Ambassador, Link, TcpPeer};
use anyhow::{Result, ensure};

fn check_all(cases: &[Case]) -> Result<()> {
    check(env!("CARGO_BIN_EXE_client"), cases, &in_every_mode()?)
}

#[test]
fn replies_that_are_not_http() -> Result<()> {
    check_all(&[
        reply("HTTP/0.9", b"<html>hello\r\n</html>"),
        reply("ICY", b"ICY 200 OK\r\nicy-metaint: 16\r\n\r\n\x00\x01\x02audio"),
        reply("a banner", b"SSH-2.0-x\r\n\r\n"),
        reply("binary", b"\x00\xff\x16\x03\x01\r\n\r\n"),
        reply("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("lower case", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("status 000", b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("an empty line first", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        exchange("HTTP/0.9 both ways", b"GET /\r\n", b"hello"),
    ])
}

#[test]
fn replies_of_framing_that_may_be_read_in_two_ways() -> Result<()> {
    check_all(&[
        reply(
            "TE and CL",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        reply(
            "CL and TE",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        reply("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\nok!"),
        reply("equal lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        reply("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
        reply("a signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
        reply("a length beyond u64", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok"),
        reply("1.0 with TE", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        reply("an unknown coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\nmoo"),
        reply(
            "chunked twice",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        reply("space before a colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
        reply("obs-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
        reply("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        reply("bare CR", b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"),
        reply("NUL", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"),
        reply("no colon", b"HTTP/1.1 200 OK\r\nwhat is this\r\nContent-Length: 2\r\n\r\nok"),
        reply("101 unasked", b"HTTP/1.1 101 Switching Protocols\r\n\r\nwhatever"),
    ])
}

#[test]
fn chunks_that_may_be_read_in_two_ways() -> Result<()> {
    let chunked = |name, body: &[u8]| reply(name, [CHUNKED, body].concat());
    let mut later = chunked("wrong in a later piece", b"2\r\nok\r\n");
    later.origin.extend([BEAT, send(b"2\nok\r\n"), BEAT, send(b"0\r\n\r\n")]);
    let mut reused = chunked("bare LF, and a second request", b"2\nok\n0\n\n");
    reused.program.extend([Step::Until(CHUNKED.len() + 8), send(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")]);
    reused.origin.extend([Step::Until(27 + 28), send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")]);
    check_all(&[
        chunked("bare LF", b"2\nok\n0\n\n"),
        chunked("not a number", b"zz\r\nok"),
        chunked("beyond u64", b"10000000000000002\r\nok\r\n0\r\n\r\n"),
        chunked("longer than its size", b"2\r\nokay\r\n0\r\n\r\n"),
        chunked("a control byte in an extension", b"2;a\x01\r\nok\r\n0\r\n\r\n"),
        later,
        reused,
    ])
}

#[test]
fn heads_as_they_are() -> Result<()> {
    check_all(&[
        reply("repeated and empty", b"HTTP/1.1 200 OK\r\nX-A:\r\nx-b: 1\r\nX-A:   2\t \r\nX-a:3\r\nContent-Length: 0\r\n\r\n"),
        reply("an empty reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
        reply("no reason at all", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        reply("an obsolete reason", b"HTTP/1.1 302 Moved Temporarily \xe9\t!\r\nContent-Length: 0\r\n\r\n"),
        reply("an odd status", b"HTTP/1.1 999 Request Denied\r\nContent-Length: 2\r\n\r\nno"),
        reply("Latin-1", b"HTTP/1.1 200 OK\r\nX-Name: \xe9\xff\r\nContent-Length: 0\r\n\r\n"),
        reply("200 lines", [&b"HTTP/1.1 200 OK\r\n"[..], &b"X-Line: 1\r\n".repeat(200), b"Content-Length: 0\r\n\r\n"].concat()),
        reply("100 KB", [&b"HTTP/1.1 200 OK\r\nX: "[..], &b"x".repeat(100_000)[..], b"\r\nContent-Length: 2\r\n\r\nok"].concat()),
        reply("many interim replies", [&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100)[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"].concat()),
        reply("103 and 100", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        reply("206", b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/10\r\nContent-Length: 2\r\n\r\ncd"),
        reply("204", b"HTTP/1.1 204 No Content\r\n\r\n"),
        reply("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
        exchange("HEAD with a length", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        reply("1.0 until the end", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"),
        exchange("1.0 with keep-alive", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        exchange("1.1 to 1.0", b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
        reply("trailers and extensions", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n00004;q=\"1;2\"\r\nwiki\r\n0;last\r\nX-End: yes\r\nx-END:\r\n\r\n"),
        reply("1.1 until the end", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"),
    ])
}

/// A program of HTTP/1.0 reads to the end, which an endpoint says to ambassador alone.
#[test]
fn an_endpoint_of_http_1_0_that_ends_ends_the_program_too() -> Result<()> {
    const OLD: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let link = Link::new()?;
    let _endpoint = TcpPeer::start(&link.server, Link::v4(9000), |mut stream, _| {
        stream.read_exact(&mut [0; 18])?;
        Ok(stream.write_all(OLD)?)
    })?;
    let program = "import socket\n\
                   s = socket.create_connection(('10.77.0.9', 9000), 10)\n\
                   s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n\
                   print(len(s.makefile('rb').read()))";
    let run = Ambassador::with_policy("-q", OTHER_ENDPOINT)?;
    let finished = run.output(&link.client, &["/usr/bin/python3", "-c", program])?.expect_success()?;
    ensure!(finished.text().trim() == OLD.len().to_string(), "{}", finished.text());
    Ok(())
}

const OTHER_ENDPOINT: &str = "version: v1
routes:
  - name: all
    upstream: other
upstreams:
  - name: other
    endpoints: [{host: 10.77.0.2, port: 9000}]
";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn what_an_origin_says_at_once_arrives_at_once() -> Result<()> {
    let seen = TwoSided { prelude: AT_ONCE, origin: ORIGIN, program: PROGRAM }.like_direct()?;
    let want = "reply 1\nin chunks 1\nagreement 1\nagreement and frame 1\ntunnel and greeting 1";
    ensure!(seen.program.trim_end() == want, "{}", seen.program);
    Ok(())
}

/// What is asked, and answered by one write.
const AT_ONCE: &str = r#"
import socket, sys
ADDRESS = ("10.77.0.2", 8080)
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CASES = [
    ("reply", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("in chunks", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("agreement", UPGRADE, AGREED),
    ("agreement and frame", UPGRADE, AGREED + b"\x81\x05Hello"),
    ("tunnel and greeting", b"CONNECT a:25 HTTP/1.1\r\nHost: a:25\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n220 hi\r\n"),
]

def take(sock, length):
    taken = b""
    while len(taken) < length:
        taken += sock.recv(length - len(taken)) or sys.exit("ended after %r" % taken)
    return taken
"#;
const ORIGIN: &str = r#"
listener = socket.create_server(ADDRESS)
print("ready", flush=True)
for _, asked, answer in CASES:
    with listener.accept()[0] as sock:
        take(sock, len(asked))
        sock.sendall(answer)
        sock.recv(1)
sys.stdin.read()
"#;
/// Says how many segments brought each answer (`tcpi_data_segs_in`).
const PROGRAM: &str = r"
for name, asked, answer in CASES:
    with socket.create_connection(ADDRESS, 20) as sock:
        sock.sendall(asked)
        take(sock, len(answer))
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        print(name, int.from_bytes(info[152:156], sys.byteorder))
";
