// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 with prior knowledge, frame by frame: program and origin see through ambassador what they see directly.

use ambassador_tests::two_sided::like_direct;
use anyhow::{Result, ensure};

/// Both sides see what they see directly, and the program prints exactly `want` of it.
fn check(origin: &str, program: &str, want: &str) -> Result<()> {
    let direct = like_direct(origin, program)?;
    ensure!(direct.program.trim_end() == want, "{}", direct.program);
    Ok(())
}

#[test]
fn a_hundred_streams_are_open_at_a_time_on_one_connection() -> Result<()> {
    // No reply before all requests are here, then in the reverse order.
    let origin = "
def talk(c, number):
    streams = []
    while len(streams) < 100:
        frame = c.next()
        if isinstance(frame, HeadersFrame):
            streams.append((frame.stream_id, dict(frame.fields)[b':path']))
    say('connection', number, 'has', len(streams))
    for stream, path in reversed(streams):
        answer(c, stream, body=path)
    c.finish()
serve(talk, {SettingsFrame.MAX_CONCURRENT_STREAMS: 200})";
    let program = "
c = dial()
for n in range(100):
    c.headers(1 + 2 * n, request('/%d' % n), end=True)
replies = [c.message(1 + 2 * n) for n in range(100)]
say(sum(r.body == b'/%d' % n and r.status() == '200' and r.end == 'end' for n, r in enumerate(replies)))";
    let direct = like_direct(origin, program)?;
    ensure!(direct.program == "100\n" && direct.origin == "connection 0 has 100\n", "{direct:?}");
    Ok(())
}

#[test]
fn bodies_of_8_mb_pass_both_ways_with_their_trailers() -> Result<()> {
    let origin = "
def talk(c, number):
    asked = c.message(1)
    say(asked)
    c.headers(1, [(':status', '200')])
    c.body(1, asked.body[::-1], end=False)
    c.headers(1, [('x-sum', 'ab'), ('grpc-status', '0')], end=True)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
c.body(1, bytes(range(256)) * (8 << 12), end=False)
c.headers(1, [('x-count', '7'), ('x-more', '')], end=True)
say(c.message(1))";
    let direct = like_direct(origin, program)?;
    ensure!(
        direct.program.contains("body 8388608 ") && direct.origin.contains("body 8388608 "),
        "{direct:?}"
    );
    ensure!(direct.program.contains("trailers [x-sum: ab, grpc-status: 0] end"), "{direct:?}");
    ensure!(direct.origin.contains("trailers [x-count: 7, x-more: ] end"), "{direct:?}");
    Ok(())
}

#[test]
fn readers_that_take_nothing_hold_up_only_their_own_streams() -> Result<()> {
    let origin = "
def talk(c, number):
    while True:
        stream = c.next().stream_id
        def reply(stream):
            c.headers(stream, [(':status', '200')])
            c.data(stream, b'x' * 16384)
            sent = 16384
            while sent < (4 << 20):
                room = min(c.initial + c.windows[stream] - sent, c.connection_window - 1 - sent, 16384)
                if room <= 0:
                    return sent
                c.data(stream, b'x' * room)
                sent += room
            return sent
        if stream == 11:
            stalled = max(reply(stream) for stream in (1, 3, 5, 7, 9, 11))
            while True:
                frame = c.read()
                if isinstance(frame, HeadersFrame):
                    answer(c, frame.stream_id, body=b'y' * 30000)
                    break
            say('stalled within a megabyte:', stalled < (1 << 20))
            break
    c.finish()
serve(talk, credit=True)";
    // The window of the connection is wide, that of a stream is not.
    let program = "
c = dial({SettingsFrame.INITIAL_WINDOW_SIZE: 40000}, credit=False)
c.window(0, 1 << 24)
for stream in (1, 3, 5, 7, 9, 11):
    c.headers(stream, request('/stalled'), end=True)
got = 0
while got < 6 * 40000:
    frame = c.next()
    got += len(frame.data) if isinstance(frame, DataFrame) else 0
c.headers(13, request('/other'), end=True)
other = c.message(13)
say(other.status(), len(other.body), other.end, 'the stalled ones got', got)";
    check(origin, program, "200 30000 end the stalled ones got 240000")
}

#[test]
fn an_upload_that_is_not_read_is_not_taken() -> Result<()> {
    let origin = "
def talk(c, number):
    c.credit = False
    c.next()
    got = 0
    while got < 65535:
        frame = c.next()
        got += len(frame.data)
    say('read', got)
    c.credit = True
    c.window(0, got)
    c.window(1, got)
    answer(c, 1, body=b'%d' % (got + len(c.message(1).body)))
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'PUT'))
c.body(1, b'z' * (3 << 20))
say(c.message(1))";
    check(origin, program, "head [:status: 200] body 7 '3145728' end")
}

#[test]
fn an_upload_that_the_origin_has_enough_of_is_stopped_after_its_reply() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    answer(c, stream, '413', b'too much')
    c.reset(stream, NO_ERROR)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
c.data(1, b'some')
say(c.message(1))
say('then', c.next().error_code)";
    check(origin, program, "head [:status: 413] body 8 'too much' end\nthen 0")
}

#[test]
fn an_upload_goes_on_after_its_reply_is_complete() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    answer(c, stream, body=b'early')
    say(c.message(stream))
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
say(c.message(1))
c.data(1, b'late ')
c.ping(b'12345678')
c.pong()
c.data(1, b'rest', end=True)
c.headers(3, request('/never-answered'), end=True)
c.ping(b'12345678')
c.pong()
";
    let direct = like_direct(origin, program)?;
    ensure!(direct.origin == "no head body 9 'late rest' end\n", "{direct:?}");
    Ok(())
}

#[test]
fn interim_replies_pass() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '100')])
    body = c.message(stream).body
    c.headers(stream, [(':status', '103'), ('link', '</a.css>; rel=preload'), ('x-n', '1')])
    c.headers(stream, [(':status', '103'), ('link', '</b.css>; rel=preload')])
    answer(c, stream, body=body)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST', ('expect', '100-continue')))
frame = c.next()
say(shown(frame.fields))
c.data(1, b'asked for', end=True)
say(c.message(1))";
    check(
        origin,
        program,
        ":status: 100\ninterim [:status: 103, link: </a.css>; rel=preload, x-n: 1] \
         interim [:status: 103, link: </b.css>; rel=preload] head [:status: 200] body 9 'asked for' end",
    )
}

#[test]
fn pings_are_answered_and_settings_are_sane() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    S = SettingsFrame
    say('push', c.theirs.get(S.ENABLE_PUSH, 1), 'window', c.theirs.get(S.INITIAL_WINDOW_SIZE, 65535) >= 65535)
    c.ping(b'from-org')
    say(c.pong())
    # After its own question: the program's connection ends with this answer, and nobody would be left to ask.
    answer(c, stream)
    c.finish()
serve(talk)";
    let program = "
c = dial({SettingsFrame.ENABLE_PUSH: 0, SettingsFrame.HEADER_TABLE_SIZE: 0})
c.headers(1, request(), end=True)
say(c.message(1))
S = SettingsFrame
say('streams', c.theirs.get(S.MAX_CONCURRENT_STREAMS, 1 << 31) >= 100, 'window',
    c.theirs.get(S.INITIAL_WINDOW_SIZE, 65535) >= 65535, 'frame', c.theirs.get(S.MAX_FRAME_SIZE, 16384) >= 16384,
    'heads', c.theirs.get(S.MAX_HEADER_LIST_SIZE, 1 << 31) >= 65536, 'connect', c.theirs.get(8, 0))
c.ping(b'from-prg')
say(c.pong())";
    check(
        origin,
        program,
        "head [:status: 200] body 0 '' end\nstreams True window True frame True heads True connect 0\n\
         b'from-prg'",
    )
}
