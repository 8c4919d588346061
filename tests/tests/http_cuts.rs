// SPDX-License-Identifier: Apache-2.0
//! What one end cuts is cut for the other, in the same way: a short body never ends as if it were whole.

use ambassador_tests::Ambassador;
use ambassador_tests::script::{BEAT, Case, Scene, Step, check, exchange, in_every_mode, reply, send};
use anyhow::{Result, ensure};

fn check_all(cases: &[Case]) -> Result<()> {
    check(env!("CARGO_BIN_EXE_client"), cases, &in_every_mode()?)
}

/// A reply after which the origin resets the connection, when the program has had time to read it.
fn reset_after(name: &'static str, bytes: &[u8]) -> Case {
    let mut case = reply(name, bytes);
    case.origin.extend([BEAT, Step::Reset]);
    case
}

#[test]
fn bodies_that_the_origin_cuts() -> Result<()> {
    check_all(&[
        reply("a length, by the end", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        reset_after("a length, by a reset", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        reply("a length, by the end of its head", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        reply("chunks, by the end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        reply(
            "chunks, before the last one",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
        reply("chunks, in the trailers", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a"),
        reset_after(
            "chunks, by a reset",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
        reset_after("a body until the end, by a reset", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf"),
        reset_after("not HTTP, by a reset", b"ICY 200 OK\r\n\r\nhalf"),
        reset_after("after a whole reply", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ])
}

#[test]
fn heads_that_the_origin_cuts() -> Result<()> {
    // With a policy a reply that has not come is answered by ambassador: what a policy says is another matter.
    let cases = [
        reply("in the version, by the end", b"HTTP/1"),
        reply("in the lines, by the end", b"HTTP/1.1 200 OK\r\nContent-Le"),
        reset_after("in the lines, by a reset", b"HTTP/1.1 200 OK\r\nContent-Le"),
        reply("after 103", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        reply("after half of a 103", b"HTTP/1.1 103 Early Hints\r\n"),
        reset_after("before a byte", b""),
        reply("before a byte, by the end", b""),
    ];
    check(
        env!("CARGO_BIN_EXE_client"),
        &cases,
        &[Ambassador::run("-q")?, Ambassador::run("-q --mode off --retry 2")?],
    )
}

#[test]
fn a_policy_answers_for_a_reply_that_is_cut_within_its_head() -> Result<()> {
    let cases =
        [reply("by the end", b"HTTP/1.1 200 OK\r\nContent-Le"), reset_after("by a reset", b"HTTP/1.1 2")];
    let scene = Scene::new(env!("CARGO_BIN_EXE_client"), &cases)?;
    let (seen, _) = scene.under(&Ambassador::run("-q --per-try-timeout 10s")?)?;
    for outcome in &seen {
        ensure!(outcome.program.contains(" HTTP/1.1 502 Bad Gateway"), "{outcome:?}");
    }
    Ok(())
}

#[test]
fn requests_that_the_program_cuts() -> Result<()> {
    let whole = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    // The origin waits for a byte that never comes, and answers at the program's end.
    let half = |name, request: &[u8]| {
        let mut case = exchange(name, request, whole);
        case.program.push(Step::HalfClose);
        case.origin[0] = Step::Until(request.len() + 1);
        case
    };
    check_all(&[
        half("in the head", b"GET / HTTP/1.1\r\nHost"),
        half("in the request line", b"GET / HT"),
        half("in a length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"),
        half("before the body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"),
        half("in a chunk", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        half(
            "before the last chunk",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
        half("nowhere", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ])
}

#[test]
fn requests_that_the_program_resets() -> Result<()> {
    let reset = |name, request: &[u8]| {
        let steps = vec![send(request), BEAT, Step::Reset];
        Case { name, program: steps, origin: vec![Step::Until(request.len() + 1)] }
    };
    check_all(&[
        reset("while the reply is awaited", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        reset("in a body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"),
    ])
}
