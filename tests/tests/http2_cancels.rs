// SPDX-License-Identifier: Apache-2.0
//! Streams that either side gives up, one after the other for as long as the connection lasts, while the other side has
//! not heard of it: what still comes for them harms no other stream.

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{direct, like_direct, under, under_nothing};
use anyhow::{Result, ensure};

#[test]
fn a_program_may_cancel_as_many_streams_as_it_likes() -> Result<()> {
    // What was under way when the program cancelled, as gRPC's streams often have.
    let origin = "
def talk(c, number):
    while True:
        frame = c.next()
        if isinstance(frame, HeadersFrame):
            if dict(frame.fields)[b':path'] == b'/last':
                answer(c, frame.stream_id, body=b'fine')
                return say('connection', number, c.finish())
            c.headers(frame.stream_id, [(':status', '200')])
            c.data(frame.stream_id, b'first')
        elif isinstance(frame, RstStreamFrame):
            c.data(frame.stream_id, b'late')
serve(talk)";
    let program = "
c = dial()
for stream in range(1, 2001, 2):
    c.headers(stream, request('/stream'), end=True)
    while not (isinstance(frame := c.next(), DataFrame) and frame.stream_id == stream):
        pass
    c.reset(stream, CANCEL)
c.headers(2001, request('/last'), end=True)
say(c.message(2001))";
    let direct = like_direct(origin, program)?;
    ensure!(direct.program == "head [:status: 200] body 4 'fine' end\n", "{direct:?}");
    Ok(())
}

#[test]
fn an_origin_may_refuse_as_many_uploads_as_it_likes() -> Result<()> {
    let origin = "
def talk(c, number):
    while True:
        frame = c.next()
        if isinstance(frame, HeadersFrame):
            if dict(frame.fields)[b':path'] == b'/last':
                answer(c, frame.stream_id, body=b'fine')
                return say('connection', number, c.finish())
            c.reset(frame.stream_id, CANCEL)
serve(talk)";
    let program = "
c = dial()
for stream in range(1, 2001, 2):
    c.headers(stream, request('/upload', 'POST'))
    while not (isinstance(frame := c.next(), RstStreamFrame) and frame.stream_id == stream):
        pass
    c.data(stream, b'late', end=True)
c.headers(2001, request('/last'), end=True)
say(c.message(2001))";
    let direct = like_direct(origin, program)?;
    ensure!(direct.program == "head [:status: 200] body 4 'fine' end\n", "{direct:?}");
    Ok(())
}

#[test]
fn a_stream_that_is_cancelled_before_it_was_read_never_reaches_the_origin() -> Result<()> {
    let origin = "
def talk(c, number):
    while True:
        frame = c.next()
        if isinstance(frame, HeadersFrame):
            say(frame.stream_id, dict(frame.fields)[b':path'].decode())
            if dict(frame.fields)[b':path'] == b'/last':
                return answer(c, frame.stream_id)
serve(talk)";
    // In one segment.
    let program = "
c = dial()
with c.together():
    c.headers(1, request('/first', 'POST'))
    c.reset(1, CANCEL)
    c.headers(3, request('/last'), end=True)
say(c.message(3).status())";
    direct(origin, program)?.check("200", "1 /first\n3 /last")?;
    under_nothing(origin, program)?.check("200", "1 /last")
}

#[test]
fn a_whole_reply_is_whole_although_its_origin_ends_with_it() -> Result<()> {
    // In one segment, while the request is still being sent.
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    sent = []
    c.send = lambda *frames: sent.extend(frame.serialize() for frame in frames)
    c.headers(stream, [(':status', '403'), ('grpc-status', '7')], end=True)
    c.sock.send(b''.join(sent), socket.MSG_MORE)
    del c.send
serve(talk)";
    let program = "
for n in range(20):
    c = dial()
    c.headers(1, request('/', 'POST'))
    say(c.message(1))
    c.sock.close()";
    let direct = like_direct(origin, program)?;
    let whole = "head [:status: 403, grpc-status: 7] body 0 '' end\n";
    ensure!(direct.program == whole.repeat(20), "{direct:?}");
    Ok(())
}

#[test]
fn a_program_that_resets_its_connection_resets_that_of_its_origin() -> Result<()> {
    let origin = "
def talk(c, number):
    frame, told = c.next(), []
    c.headers(frame.stream_id, [(':status', '200')])
    try:
        while True: told.append(type(c.next()).__name__)
    except Ended as ended:
        say(told, ended)
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
c.next()
c.tear()
c.sock.close()";
    like_direct(origin, program)?.check("", "[] reset")?;
    under(&Ambassador::run("-q --retry 3 --timeout 30s")?, origin, program)?.check("", "[] reset")
}
