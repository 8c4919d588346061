// SPDX-License-Identifier: Apache-2.0
//! What the two ends of an HTTP/2 connection tell each other, between what they do there: nothing that was said before
//! is overtaken, lost or taken for whole.

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{direct, like_direct, under, under_nothing};
use anyhow::{Result, ensure};

#[test]
fn a_goaway_overtakes_no_reply() -> Result<()> {
    // All in one segment, as of a server that answers and refuses to go on.
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    with c.together():
        c.headers(stream, [(':status', '200')])
        c.data(stream, b'whole', end=True)
        c.goaway(stream, CALM)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
frame = None
while not isinstance(frame, GoAwayFrame):
    # It may be asked whether it has heard that there will be no more.
    while isinstance(frame := c.next(), PingFrame):
        pass
    say(type(frame).__name__, getattr(frame, 'data', b'')[-5:], getattr(frame, 'error_code', ''))";
    for _ in 0..5 {
        let seen = like_direct(origin, program)?;
        ensure!(seen.program.ends_with("DataFrame b'whole' \nGoAwayFrame b'' 11\n"), "{seen:?}");
    }
    Ok(())
}

#[test]
fn a_goaway_with_an_error_comes_after_the_replies_under_way() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.goaway(stream, PROTOCOL_ERROR)
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'whole', end=True)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
for _ in range(3):
    while isinstance(frame := c.next(), PingFrame):
        pass
    say(type(frame).__name__, getattr(frame, 'error_code', ''))";
    direct(origin, program)?.check("GoAwayFrame 1\nHeadersFrame \nDataFrame", "")?;
    under_nothing(origin, program)?.check("HeadersFrame \nDataFrame \nGoAwayFrame 1", "")
}

#[test]
fn a_goaway_of_the_program_overtakes_none_of_its_requests() -> Result<()> {
    let origin = "
def talk(c, number):
    c.serving = False
    while True:
        frame = c.next()
        say(type(frame).__name__)
        if isinstance(frame, GoAwayFrame):
            return say(frame.error_code)
        c.headers(1, [(':status', '200')])
serve(talk)";
    let program = "
c = dial()
with c.together():
    c.headers(1, request(), end=True)
    c.goaway(0, 7)
say(type(c.next()).__name__)";
    for _ in 0..5 {
        let seen = under(&Ambassador::run("-q")?, origin, program)?;
        let last = ["HeadersFrame\nGoAwayFrame\n7\n", "HeadersFrame\nRstStreamFrame\nGoAwayFrame\n7\n"];
        ensure!(last.contains(&&*seen.origin), "{seen:?}");
    }
    Ok(())
}

#[test]
fn settings_of_any_length_are_heard() -> Result<()> {
    let origin = "
def talk(c, number):
    c.finish()
serve(talk, {**{0xf000 + n: n for n in range(300)}, 3: 5})";
    let program = "
c = dial()
c.read()
say(c.theirs[3])";
    let seen = like_direct(origin, program)?;
    ensure!(seen.program == "5\n", "{seen:?}");
    Ok(())
}

#[test]
fn a_program_that_ends_its_side_at_once_is_greeted() -> Result<()> {
    // The origin says nothing before.
    let origin = "
def talk(sock):
    while sock.recv(1 << 16):
        pass
    sock.sendall(SettingsFrame(0).serialize())
    sock.close()
serve_raw(talk)";
    let program = "
c = dial()
c.sock.shutdown(socket.SHUT_WR)
say(type(c.read()).__name__)";
    like_direct(origin, program)?.check("SettingsFrame", "")
}

#[test]
fn an_answer_in_another_protocol_is_whole_however_long_it_is() -> Result<()> {
    let origin = "
def talk(sock):
    sock.recv(24, socket.MSG_WAITALL)
    sock.sendall(b'HTTP/1.1 400 No\\r\\n\\r\\n' + b'x' * 8000000)
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(1 << 16):
        pass
serve_raw(talk)";
    let program = "
c = dial()
time.sleep(1.5)
heard = 0
while more := len(c.sock.recv(1 << 16)):
    heard += more
say(heard)";
    like_direct(origin, program)?.check("8000019", "")
}

#[test]
fn heads_of_more_fields_than_anybody_sends_are_refused() -> Result<()> {
    let origin = "serve(answer_all)";
    let program = "
c = dial()
for stream, more in ((1, 123), (3, 129), (5, 1850), (7, 0)):
    c.headers(stream, request() + [('a', 'b')] * more, end=True)
    say(c.message(stream).status())";
    under(&Ambassador::run("-q")?, origin, program)?.check("200\n431\n431\n200", "")
}
