// SPDX-License-Identifier: Apache-2.0
//! Requests that two parsers could read differently.
//!
//! It exists because several rules speak of the same ones: what arrives of them, what is refused, and that nobody else
//! meets what an origin makes of them.

use crate::script::{BEAT, Case, Step, exchange, send};

/// Heads, as each is sent and answered.
pub fn heads() -> Vec<Case> {
    vec![
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
    ]
}

/// Bodies in chunks, the same.
pub fn chunks() -> Vec<Case> {
    let chunked = |name, body: &[u8]| post(name, "Transfer-Encoding: chunked", body);
    let mut later = chunked("wrong in a later piece", b"5\r\nhello\r\n");
    later.program.extend([BEAT, send(b"5\nhello\r\n"), BEAT, send(b"0\r\n\r\n")]);
    later.origin[0] = Step::Until(56 + 10 + 9 + 5);
    vec![
        chunked("chunks of bare LF", b"5\nhello\n0\n\n"),
        chunked("beyond u64", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        chunked("a control byte in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
        chunked("longer than its size", b"5\r\nhello!!\r\n0\r\n\r\n"),
        later,
    ]
}

/// A request that the origin answers in the usual way.
pub fn request(name: &'static str, request: impl AsRef<[u8]>) -> Case {
    exchange(name, request, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

fn post(name: &'static str, lines: &str, body: &[u8]) -> Case {
    request(name, [format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes(), body].concat())
}
