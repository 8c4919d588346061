// SPDX-License-Identifier: Apache-2.0
//! Requests reach the origin byte for byte, whatever they are: HTTP or not.

use ambassador_tests::script::{Case, check, exchange, in_every_mode};
use anyhow::Result;

/// A request that the origin answers in the usual way.
fn request(name: &'static str, request: impl AsRef<[u8]>) -> Case {
    exchange(name, request, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

#[test]
fn odd_but_legal() -> Result<()> {
    let cases = [
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
    ];
    check(env!("CARGO_BIN_EXE_client"), &cases, &in_every_mode()?)
}
