// SPDX-License-Identifier: Apache-2.0
//! Requests reach the origin byte for byte, whatever they are: HTTP or not.

use ambassador_tests::script::{BEAT, Case, Step, check, exchange, send};
use anyhow::Result;

fn check_all(cases: &[Case]) -> Result<()> {
    check(
        env!("CARGO_BIN_EXE_client"),
        cases,
        &["", "--mode off --retry 2", "--retry 2 --timeout 20s --per-try-timeout 10s --breaker 50"],
    )
}

/// A request that the origin answers in the usual way.
fn request(name: &'static str, request: impl AsRef<[u8]>) -> Case {
    exchange(name, request, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

fn post(name: &'static str, lines: &str, body: &[u8]) -> Case {
    request(name, [format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes(), body].concat())
}

#[test]
fn odd_but_legal() -> Result<()> {
    check_all(&[
        request("case, order, spacing", b"GET /A%20b?c=d HTTP/1.1\r\nhOsT: Example.COM\r\nX-Second:  two spaces\t\r\nx-first:none\r\nX-Second: again\r\nX-Empty:\r\n\r\n"),
        request("PROPFIND", b"PROPFIND /dav HTTP/1.1\r\nHost: a\r\nDepth: 1\r\n\r\n"),
        request("M-SEARCH", b"M-SEARCH * HTTP/1.1\r\nHost: a\r\nMAN: \"ssdp:discover\"\r\n\r\n"),
        request("lower case", b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("no letters", b"!#$ / HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("absolute form", b"GET http://other.example:8080/x?y#z HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("not UTF-8", b"GET /\xff\xfe\xe9?\x80 HTTP/1.1\r\nHost: \xe9\r\nX: \xff\r\n\r\n"),
        request("1.0", b"GET / HTTP/1.0\r\n\r\n"),
        request("no Host", b"GET / HTTP/1.1\r\n\r\n"),
        request("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        request("close", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        request("hop by hop", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, X-Hop\r\nTE: trailers\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\r\n"),
        request("empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("a GET with a body", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"),
        request("trailers and extensions", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;name=\"v;w\"\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"),
        request("a long target", [b"GET /", &b"a".repeat(7000)[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()),
        request("a head of 50 KB", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &b"a".repeat(50_000)[..], b"\r\n\r\n"].concat()),
        request("CONNECT refused", b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"),
    ])
}

#[test]
fn heads_that_may_be_read_in_two_ways() -> Result<()> {
    check_all(&[
        post("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\nX"),
        post(
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
        ),
        post("TE.TE", "Transfer-Encoding: chunked\r\nTransfer-encoding: cow", b"0\r\n\r\n"),
        post("xchunked", "Transfer-Encoding: xchunked", b"0\r\n\r\n"),
        post("vertical tab", "Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
        post("space before a colon", "Transfer-Encoding : chunked", b"0\r\n\r\n"),
        post("obs-fold", "X: a\r\n Transfer-Encoding: chunked", b"0\r\n\r\n"),
        post("differing lengths", "Content-Length: 5\r\nContent-Length: 6", b"hello!"),
        post("beyond u64", "Content-Length: 18446744073709551621", b"hello"),
        post("signed", "Content-Length: +5", b"hello"),
        post("empty length", "Content-Length:", b""),
        request("1.0 with TE", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        request("bare LF", b"POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"),
        request("bare CR", b"GET / HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\nhello"),
        request("NUL", b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n"),
        request("no colon", b"GET / HTTP/1.1\r\nwhat is this\r\n\r\n"),
        request("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        request("a space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ])
}

#[test]
fn chunks_that_may_be_read_in_two_ways() -> Result<()> {
    let chunked = |name, body: &[u8]| post(name, "Transfer-Encoding: chunked", body);
    let mut later = chunked("wrong in a later piece", b"5\r\nhello\r\n");
    later.program.extend([BEAT, send(b"5\nhello\r\n"), BEAT, send(b"0\r\n\r\n")]);
    later.origin[0] = Step::Until(56 + 10 + 9 + 5);
    check_all(&[
        chunked("bare LF", b"5\nhello\n0\n\n"),
        chunked("beyond u64", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        chunked("a control byte in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
        chunked("longer than its size", b"5\r\nhello!!\r\n0\r\n\r\n"),
        later,
    ])
}

#[test]
fn a_later_request_that_may_be_read_in_two_ways() -> Result<()> {
    let first = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let after_one = |name, second: &[u8]| Case {
        name,
        program: vec![send(first), Step::Until(reply.len()), send(second)],
        origin: vec![
            Step::Until(first.len()),
            send(reply),
            Step::Until(first.len() + second.len()),
            send(b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno"),
        ],
    };
    check_all(&[
        after_one(
            "CL.TE",
            b"POST / HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        ),
        after_one("not HTTP", b"\x00\x01\x02 and so on\r\n"),
        after_one("bad chunks", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n"),
    ])
}
