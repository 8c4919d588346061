// SPDX-License-Identifier: Apache-2.0
//! How HTTP/2 connections go away in order: GOAWAY both ways, and what becomes of the streams before and beyond it.

use ambassador_tests::two_sided::{like_direct, under_nothing};
use anyhow::{Result, ensure};

/// The first connection answers up to stream 3 and then goes away; later ones serve everything.
const GOING_AWAY: &str = "
def talk(c, number):
    streams = {}
    while True:
        frame = c.next()
        if isinstance(frame, HeadersFrame):
            streams[frame.stream_id] = dict(frame.fields)[b':path'].decode()
        if 'END_STREAM' not in frame.flags:
            continue
        if number == 0 and len(streams) == 4:
            say('connection 0 got', len(streams))
            c.goaway(3)
            for stream in (1, 3):
                answer(c, stream, body=b'first')
            return say(c.finish())
        if number:
            say('connection', number, 'got', streams[frame.stream_id])
            answer(c, frame.stream_id, body=b'second')
serve(talk)";

#[test]
fn streams_beyond_the_last_one_of_a_goaway_are_sent_again_whatever_their_method() -> Result<()> {
    let program = "
c = dial()
for stream in (1, 3, 5, 7):
    c.headers(stream, request('/%d' % stream, 'POST'))
for stream in (1, 3, 5, 7):
    c.data(stream, b'body', end=True)
for stream in (1, 3, 5, 7):
    told = c.message(stream)
    say(stream, told.status(), told.body, told.end)";
    let seen = under_nothing(GOING_AWAY, program)?;
    // Streams have no order among each other: which two the origin meant is told by who answered.
    let mut again = 0;
    for (line, stream) in seen.program.lines().zip([1, 3, 5, 7]) {
        let second = line == format!("{stream} 200 b'second' end");
        ensure!(second || line == format!("{stream} 200 b'first' end"), "{line}: {seen:?}");
        let repeated = seen.origin.matches(&format!("connection 1 got /{stream}\n")).count();
        ensure!(repeated == usize::from(second), "{line}: {seen:?}");
        again += repeated;
    }
    ensure!(again == 2 && seen.program.lines().count() == 4, "{seen:?}");
    Ok(())
}

#[test]
fn the_program_is_told_that_the_origin_goes_away() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '200')])
    c.goaway(stream)
    c.data(stream, b'late', end=True)
    c.finish()
serve(talk)";
    // Both before the end of the reply: which comes first does not matter.
    let program = "
c = dial()
c.headers(1, request(), end=True)
told, away = Message(), 0
while not told.end or not away:
    frame = c.next()
    if isinstance(frame, GoAwayFrame):
        away = frame.error_code == 0 and frame.last_stream_id >= 1
    else:
        told.take(frame)
say(told, away)";
    let direct = like_direct(origin, program)?;
    ensure!(direct.program == "head [:status: 200] body 4 'late' end True\n", "{direct:?}");
    Ok(())
}

#[test]
fn streams_that_a_goaway_does_cover_are_not_sent_again() -> Result<()> {
    // The origin has seen all of the POST, covers it, and then closes without a reply.
    let origin = "
def talk(c, number):
    answer(c, c.message(1) and 1)
    c.message(3)
    say('connection', number)
    c.goaway(3)
    # What still comes is read: a close that leaves it would be a reset.
    c.sock.shutdown(socket.SHUT_WR)
    c.finish()
serve(talk)";
    let program = "
c = dial()
for stream in (1, 3):
    c.headers(stream, request('/', 'POST'))
    c.data(stream, b'pay', end=True)
    told = c.message(stream)
    say(told.status(), told.end)";
    let direct = like_direct(origin, program)?;
    direct.check("200 end\nnone connection fin", "connection 0")
}

#[test]
fn a_goaway_of_the_program_lets_its_streams_finish() -> Result<()> {
    let origin = "
def talk(c, number):
    for stream in (1, 3):
        c.message(stream)
    for stream in (1, 3):
        answer(c, stream, body=b'%d' % stream)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
c.headers(3, request(), end=True)
c.goaway(0)
for stream in (1, 3):
    say(c.message(stream))";
    let direct = like_direct(origin, program)?;
    direct.check("head [:status: 200] body 1 '1' end\nhead [:status: 200] body 1 '3' end", "")
}

#[test]
fn a_reply_before_a_goaway_comes_to_its_end_whatever_becomes_of_the_streams_beyond() -> Result<()> {
    // The rest of the reply comes when all that is left of the first connection is this one stream, for longer than
    // a connection that nobody wants any more may take.
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    if number:
        answer(c, stream, body=b'second')
        return say('connection', number, c.finish())
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'first')
    c.next()
    c.goaway(stream)
    time.sleep(2)
    c.data(stream, b' half', end=True)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
c.next(), c.next()
c.headers(3, request('/', 'POST'), end=True)
for stream in (3, 1):
    told = c.message(stream)
    say(stream, told.body, told.end)";
    let seen = under_nothing(origin, program)?;
    seen.check("3 b'second' end\n1 b' half' end", "connection 1 fin")
}

#[test]
fn frames_of_a_program_do_not_turn_the_end_of_its_connection_into_a_reset() -> Result<()> {
    // The origin reads on behind its FIN.
    let origin = "
def talk(c, number):
    answer(c, c.message(1) and 1)
    c.message(3)
    c.goaway(3)
    c.sock.shutdown(socket.SHUT_WR)
    c.finish()
serve(talk)";
    let program = "
import select
c = dial()
for stream in (1, 3):
    c.headers(stream, request('/', 'POST'))
    c.data(stream, b'pay', end=True)
    if stream == 1:
        say(c.message(1).status())
ended = select.poll()
ended.register(c.sock, select.POLLRDHUP)
behind = 0
while behind < 50:
    c.ping(b'still.on')
    behind += bool(ended.poll(1))
told = c.message(3)
say(told.status(), told.end)";
    let direct = like_direct(origin, program)?;
    direct.check("200\nnone connection fin", "")
}

#[test]
fn a_stream_that_comes_too_late_for_an_origin_that_stops_harms_no_other() -> Result<()> {
    // As servers stop in order: no connection is taken any more, and what has begun is served to its end.
    let origin = "
listener = socket.create_server(ADDRESS)
def stop():
    sock, _ = listener.accept()
    sock.recv(24, socket.MSG_WAITALL)
    c = Connection(sock, serving=True)
    stream = c.next().stream_id
    listener.close()
    c.headers(stream, [(':status', '200')])
    c.goaway(stream)
    say(c.next().data)
    c.data(stream, b'late', end=True)
    c.finish()
threading.Thread(target=stop, daemon=True).start()
say('ready')
sys.stdin.read()";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
while not isinstance(c.next(), GoAwayFrame):
    pass
c.headers(3, request(), end=True)
say(c.message(3).end)
c.data(1, b'still here', end=True)
told = c.message(1)
say(told.body, told.end)";
    under_nothing(origin, program)?.check("reset 7\nb'late' end", "b'still here'")
}
