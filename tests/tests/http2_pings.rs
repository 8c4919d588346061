// SPDX-License-Identifier: Apache-2.0
//! PING, by which either end of an HTTP/2 connection finds out whether the other one is there: it is answered by that end,
//! and once asked is answered for as long as the connection lasts.

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{like_direct, under, under_nothing};
use anyhow::{Result, ensure};

#[test]
fn a_ping_is_answered_by_the_other_end() -> Result<()> {
    let origin = "
def talk(c, number):
    say(c.next().opaque_data)
    frames = [c.next(), c.next()]
    say(sorted(type(frame).__name__ for frame in frames))
    c.ping(b'origin-1')
    c.ping(b'origin-2')
    say(c.pong(), c.pong())
    answer(c, 1)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.ping(b'before-1')
say(c.pong())
c.headers(1, request(), end=True)
c.ping(b'within-1')
say(c.pong())
for n in range(2):
    frame = c.next()
    say(type(frame).__name__, frame.opaque_data)
say(c.message(1))";
    let seen = like_direct(origin, program)?;
    ensure!(seen.program.starts_with("b'before-1'\nb'within-1'\n"), "{seen:?}");
    ensure!(seen.origin.ends_with("b'origin-1' b'origin-2'\n"), "{seen:?}");
    Ok(())
}

#[test]
fn an_origin_that_is_stopped_answers_no_ping() -> Result<()> {
    // As a program finds out that its server hangs.
    let origin = "
def talk(c, number):
    answer(c, c.next().stream_id)
    sys.stdin.read()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
say(c.message(1).status())
c.ping(b'are you?')
c.sock.settimeout(1)
try:
    say(c.pong())
except TimeoutError:
    say('no answer')";
    let seen = like_direct(origin, program)?;
    ensure!(seen.program == "200\nno answer\n", "{seen:?}");
    Ok(())
}

#[test]
fn pings_without_number_do_not_hide_a_goaway() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    answer(c, stream)
    c.send(*[PingFrame(0, b'%08d' % n) for n in range(200)], GoAwayFrame(0, last_stream_id=stream, error_code=CALM))
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
say(c.message(1).status())
while not isinstance(frame := c.next(), GoAwayFrame):
    pass
say(frame.error_code)";
    let seen = like_direct(origin, program)?;
    ensure!(seen.program == "200\n11\n", "{seen:?}");
    Ok(())
}

#[test]
fn a_ping_whose_connection_is_lost_is_answered_by_the_next_one() -> Result<()> {
    // The first connection ends with the second request, which is sent again.
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    answer(c, stream, body=b'%d' % number)
    if number:
        return say('connection', number, c.finish())
    c.reply = lambda *frames: None
    say(type(c.next()).__name__)
    c.next()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
say(c.message(1).body)
c.ping(b'are you?')
c.headers(3, request(), end=True)
told, pong = Message(), None
while not (told.end and pong):
    frame = c.next()
    if isinstance(frame, PingFrame):
        pong = frame.opaque_data if 'ACK' in frame.flags else pong
    elif frame.stream_id:
        told.take(frame)
say(told.body, pong)
c.sock.close()";
    let seen = under_nothing(origin, program)?;
    seen.check("b'0'\nb'1' b'are you?'", "PingFrame\nconnection 1 fin")
}

#[test]
fn a_ping_whose_connection_is_lost_is_answered_while_others_live_on() -> Result<()> {
    // Nobody is asked any more after the second connection; what lives on is a stream of the first.
    let origin = "
lost = threading.Event()
def talk(c, number):
    stream = c.next().stream_id
    if number:
        c.reply = lambda *frames: None
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'%d' % number)
    c.next()
    if number:
        return lost.set()
    c.goaway(stream)
    lost.wait(10)
    c.next()
    c.data(stream, b'end', end=True)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
c.next(), c.next()
c.headers(3, request('/', 'POST'))
while not (isinstance(frame := c.next(), DataFrame) and frame.stream_id == 3):
    pass
c.ping(b'are you?')
say(c.pong())
c.data(1, b'go on', end=True)
say(c.message(1))";
    let seen = under(&Ambassador::run("--retry 1 -q")?, origin, program)?;
    seen.check("b'are you?'\nno head body 3 'end' end", "")
}

#[test]
fn a_ping_is_answered_by_a_connection_that_is_not_the_newest_any_more() -> Result<()> {
    let origin = "
replaced = threading.Event()
def talk(c, number):
    stream = c.next().stream_id
    if number:
        answer(c, stream, body=b'second')
        replaced.set()
        return c.finish()
    c.headers(stream, [(':status', '200')])
    reply, c.reply = c.reply, lambda *frames: None
    asked = c.next().opaque_data
    c.next()
    c.goaway(stream)
    replaced.wait(10)
    c.send(PingFrame(0, asked, flags=['ACK']))
    c.reply = reply
    c.data(stream, b'first', end=True)
    say('answered', asked, c.finish())
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
c.next()
c.ping(b'are you?')
c.headers(3, request('/', 'POST'), end=True)
told, pong = {1: Message(), 3: Message()}, None
while not (told[1].end and told[3].end and pong):
    frame = c.next()
    if isinstance(frame, PingFrame):
        pong = frame.opaque_data if 'ACK' in frame.flags else pong
    elif frame.stream_id:
        told[frame.stream_id].take(frame)
say(told[1].body, told[3].body, pong)";
    let seen = under_nothing(origin, program)?;
    seen.check("b'first' b'second' b'are you?'", "answered b'are you?' fin")
}
