// SPDX-License-Identifier: Apache-2.0
//! What the two ends of an HTTP/2 connection tell each other beside its streams: how many of those there may be, whether
//! anybody is there, and why they leave.

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{direct, like_direct, under};
use anyhow::{Result, ensure};

#[test]
fn the_program_knows_how_many_streams_its_origin_takes() -> Result<()> {
    for (settings, want) in [(", {3: 1}", "1"), (", {3: 100}", "100"), (", {3: 1024}", "1024")] {
        let origin = format!("serve(answer_all{settings})");
        // Before it asks anything, and by the first frame.
        let program = "
c = dial()
frame = c.read()
say(type(frame).__name__, c.theirs.get(SettingsFrame.MAX_CONCURRENT_STREAMS))
c.headers(1, request(), end=True)
say(c.message(1).status())";
        let seen = like_direct(&origin, program)?;
        ensure!(seen.program == format!("SettingsFrame {want}\n200\n"), "{seen:?}");
    }
    Ok(())
}

#[test]
fn each_end_knows_how_long_the_heads_are_that_the_other_one_takes() -> Result<()> {
    for limit in [1, 4000, 65536] {
        let origin = format!(
            "
def talk(c, number):
    answer(c, c.next().stream_id)
    say(c.theirs.get(SettingsFrame.MAX_HEADER_LIST_SIZE))
    c.finish()
serve(talk, {{6: {limit}}})"
        );
        let program = format!(
            "
c = dial({{6: {limit}}})
c.read()
say(c.theirs.get(SettingsFrame.MAX_HEADER_LIST_SIZE))
c.headers(1, request(), end=True)
say(c.message(1).status())"
        );
        let seen = like_direct(&origin, &program)?;
        ensure!(seen.program == format!("{limit}\n200\n") && seen.origin == format!("{limit}\n"), "{seen:?}");
    }
    Ok(())
}

#[test]
fn the_program_is_told_when_its_origin_takes_more_or_fewer_streams() -> Result<()> {
    let origin = "
def talk(c, number):
    for count in (7, 3, 300):
        stream = c.next().stream_id
        c.headers(stream, [(':status', '200')])
        c.send(SettingsFrame(0, settings={3: count}))
        while not isinstance(c.read(), SettingsFrame):
            pass
        c.data(stream, b'x' * 10000)
        say(count, 'acknowledged')
        c.data(stream, b'', end=True)
    c.finish()
serve(talk, {3: 5})";
    let program = "
c = dial()
for stream in (1, 3, 5):
    c.headers(stream, request(), end=True)
    told = c.message(stream)
    say(told.status(), len(told.body), told.end, c.theirs[3])";
    let seen = like_direct(origin, program)?;
    ensure!(seen.program == "200 10000 end 7\n200 10000 end 3\n200 10000 end 300\n", "{seen:?}");
    Ok(())
}

#[test]
fn streams_beyond_what_the_origin_takes_wait_for_their_turn() -> Result<()> {
    // Nobody has told the program yet when it asks.
    let origin = "
def talk(c, number):
    open = most = 0
    for n in range(6):
        frame = c.next()
        most = max(most, frame.stream_id)
        answer(c, frame.stream_id, body=b'%d' % n)
    say('answered', 6)
    c.finish()
serve(talk, {3: 1})";
    let program = "
c = dial()
c.read()
for stream in range(1, 13, 2):
    c.headers(stream, request(), end=True)
say(sorted(c.message(stream).body for stream in range(1, 13, 2)))";
    let seen = under(&Ambassador::run("-q")?, origin, program)?;
    seen.check("[b'0', b'1', b'2', b'3', b'4', b'5']", "answered 6")
}

#[test]
fn a_goaway_arrives_with_its_code_and_data() -> Result<()> {
    for (code, data) in [(11, "too_many_pings"), (2, ""), (0, "see you")] {
        let origin = format!(
            "
def talk(c, number):
    stream = c.next().stream_id
    c.send(GoAwayFrame(0, last_stream_id=stream, error_code={code}, additional_data=b'{data}'))
    answer(c, stream)
    c.finish()
serve(talk)"
        );
        let program = "
c = dial()
c.headers(1, request(), end=True)
away = reply = None
while not (away and reply):
    frame = c.next()
    if isinstance(frame, GoAwayFrame):
        away = away or (frame.error_code, frame.additional_data)
    elif isinstance(frame, HeadersFrame):
        reply = True
say(away)";
        let seen = like_direct(&origin, program)?;
        ensure!(seen.program == format!("({code}, b'{data}')\n"), "{seen:?}");
    }
    Ok(())
}

#[test]
fn the_origin_is_told_why_the_program_leaves() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '200')])
    while True:
        frame = c.read()
        if isinstance(frame, GoAwayFrame):
            return say(frame.error_code, frame.additional_data)
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
c.next()
c.send(GoAwayFrame(0, last_stream_id=0, error_code=7, additional_data=b'enough'))";
    like_direct(origin, program)?.check("", "7 b'enough'")
}

#[test]
fn an_origin_that_answers_in_another_protocol_is_heard_as_it_is() -> Result<()> {
    let origin = "
def talk(sock):
    sock.recv(24, socket.MSG_WAITALL)
    sock.sendall(b'HTTP/1.1 400 No H2 support\\r\\n\\r\\n')
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(1 << 16):
        pass
serve_raw(talk)";
    for ask in ["", "c.headers(1, request(), end=True)"] {
        let program = format!(
            "
c = dial()
{ask}
heard = b''
while True:
    more = c.sock.recv(1 << 16)
    if not more:
        break
    heard += more
say(heard)"
        );
        let seen = like_direct(origin, &program)?;
        ensure!(seen.program == "b'HTTP/1.1 400 No H2 support\\r\\n\\r\\n'\n", "{seen:?}");
    }
    Ok(())
}

#[test]
fn streams_beyond_what_ambassador_takes_are_refused() -> Result<()> {
    let origin = "
def talk(c, number):
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.read()
for stream in range(1, 2 * 1025 + 1, 2):
    c.headers(stream, request(), end=True)
frame = c.next()
say(c.theirs.get(3), type(frame).__name__, frame.stream_id, frame.error_code)";
    let seen = under(&Ambassador::run("-q")?, origin, program)?;
    seen.check("1024 RstStreamFrame 2049 7", "")
}

#[test]
fn a_connection_whose_origin_is_gone_ends_whatever_its_program_understands() -> Result<()> {
    // The origin does not like what it hears.
    let origin = "
def talk(c, number):
    while not isinstance(c.read(), PingFrame):
        pass
    c.goaway(0, PROTOCOL_ERROR)
serve(talk)";
    // No PING is answered.
    let program = "
sock = socket.create_connection(ADDRESS, 20)
sock.sendall(PREFACE + SettingsFrame(0).serialize())
sock.sendall(PingFrame(0, b'nobodys!', flags=['ACK']).serialize())
while sock.recv(1 << 16):
    pass
say('ended')";
    like_direct(origin, program)?.check("ended", "")
}

#[test]
fn what_an_origin_says_of_its_streams_at_once_is_said_one_by_one() -> Result<()> {
    let origin = "
def talk(c, number):
    c.send(SettingsFrame(0, settings={3: 7}), SettingsFrame(0, settings={3: 2}))
    c.finish()
serve(talk, {3: 9})";
    let program = "
c = dial()
told = []
while len(told) < 3:
    frame = c.read()
    if isinstance(frame, SettingsFrame) and 'ACK' not in frame.flags:
        told.append(frame.settings.get(3))
say(told)";
    like_direct(origin, program)?.check("[9, 7, 2]", "")
}

#[test]
fn an_origin_that_only_acknowledges_is_heard() -> Result<()> {
    let origin = "
def talk(sock):
    sock.recv(24, socket.MSG_WAITALL)
    sock.sendall(SettingsFrame(0, flags=['ACK']).serialize())
    while sock.recv(1 << 16):
        pass
serve_raw(talk)";
    let program = "
c = dial()
say(type(c.read()).__name__)";
    like_direct(origin, program)?.check("SettingsFrame", "")
}

#[test]
fn a_program_that_breaks_the_protocol_is_ended_by_ambassador() -> Result<()> {
    let origin = "
def talk(c, number):
    answer(c, c.next().stream_id)
    try:
        frame = c.next()
        say(type(frame).__name__, getattr(frame, 'data', b''))
    except Ended:
        say('ended')
serve(talk)";
    // DATA for a stream that nobody has opened.
    let program = "
c = dial()
c.headers(1, request(), end=True)
c.message(1)
c.data(9, b'nobody asked')
c.finish()";
    let direct = direct(origin, program)?;
    direct.check("", "DataFrame b'nobody asked'")?;
    under(&Ambassador::run("-q")?, origin, program)?.check("", "ended")
}
