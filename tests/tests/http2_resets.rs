// SPDX-License-Identifier: Apache-2.0
//! `RST_STREAM` in both directions: its code arrives, whatever has come before it, and whatever becomes of its connection.

use ambassador_tests::two_sided::like_direct;
use anyhow::{Result, ensure};

#[test]
fn resets_of_the_program_reach_the_origin_with_their_codes() -> Result<()> {
    let origin = "
def talk(c, number):
    ended = {}
    while len(ended) < 8:
        frame = c.next()
        if isinstance(frame, HeadersFrame) and dict(frame.fields)[b':path'] == b'/replying':
            c.headers(frame.stream_id, [(':status', '200')])
            c.data(frame.stream_id, b'some')
        elif isinstance(frame, HeadersFrame):
            c.ping(b'seen%04d' % frame.stream_id)
        if isinstance(frame, RstStreamFrame):
            ended[frame.stream_id] = frame.error_code
        elif isinstance(frame, DataFrame) and 'END_STREAM' in frame.flags:
            ended[frame.stream_id] = 'a clean end'
    say(sorted(ended.items()))
    c.finish()
serve(talk)";
    // After the head, in the middle of the body, and in the middle of the reply.
    let program = "
c = dial()
stream = 1
for code in (CANCEL, INTERNAL_ERROR, NO_ERROR, 13):
    c.headers(stream, request('/uploading', 'POST'))
    c.data(stream, b'half')
    c.headers(stream + 2, request('/replying'), end=True)
    while True:
        frame = c.next()
        if isinstance(frame, DataFrame):
            break
    c.reset(stream, code)
    c.reset(stream + 2, code)
    stream += 4";
    let direct = like_direct(origin, program)?;
    ensure!(
        direct.origin.contains("(1, 8), (3, 8), (5, 2), (7, 2), (9, 0), (11, 0), (13, 13), (15, 13)"),
        "{direct:?}"
    );
    Ok(())
}

#[test]
fn resets_of_the_origin_reach_the_program_with_their_codes() -> Result<()> {
    let origin = "
def talk(c, number):
    try:
        while True:
            frame = c.next()
            if not isinstance(frame, HeadersFrame):
                continue
            how, code = dict(frame.fields)[b':path'][1:].split(b'/')
            if how != b'head':
                c.headers(frame.stream_id, [(':status', '200'), ('content-type', 'text/plain')])
            if how == b'body':
                c.data(frame.stream_id, b'half')
            if how == b'whole':
                c.data(frame.stream_id, b'whole', end=True)
            c.reset(frame.stream_id, int(code))
    except Ended:
        pass
serve(talk)";
    let program = "
c = dial()
stream = 1
for how in ('head', 'none', 'body'):
    for code in (CANCEL, INTERNAL_ERROR, NO_ERROR, CALM, 13, REFUSED_STREAM):
        c.headers(stream, request('/%s/%d' % (how, code), 'POST'), end=True)
        told = c.message(stream)
        say(how, code, told.status(), told.body, told.end)
        stream += 2";
    let direct = like_direct(origin, program)?;
    for line in ["head 8 none b'' reset 8", "none 0 200 b'' reset 0", "body 13 200 b'half' reset 13"] {
        ensure!(direct.program.contains(line), "{line}: {}", direct.program);
    }
    Ok(())
}

/// Says how each stream but the big ones was ended, when its connection is.
const TOLD: &str = "
def talk(c, number):
    ended, big = {}, set()
    try:
        while True:
            frame = c.next()
            if isinstance(frame, HeadersFrame):
                c.headers(frame.stream_id, [(':status', '200')])
                if dict(frame.fields)[b':path'] == b'/big':
                    big.add(frame.stream_id)
                    for _ in range(22):
                        c.data(frame.stream_id, bytes(16384))
            elif isinstance(frame, RstStreamFrame) and frame.stream_id not in big:
                ended[frame.stream_id] = frame.error_code
    except Ended:
        say(sorted(ended.items()))
serve(talk, {SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 24})";

#[test]
fn resets_of_a_program_that_is_gone_at_once_still_have_their_codes() -> Result<()> {
    let program = "
for _ in range(20):
    c = dial()
    for stream in (1, 3):
        c.headers(stream, request('/', 'POST'))
        while not isinstance(c.next(), HeadersFrame): pass
    c.send(RstStreamFrame(1, error_code=13), RstStreamFrame(3, error_code=2))
    c.sock.close()";
    let direct = like_direct(TOLD, program)?;
    ensure!(direct.origin == "[(1, 13), (3, 2)]\n".repeat(20), "{direct:?}");
    Ok(())
}

#[test]
fn resets_of_a_program_that_does_not_read_have_their_codes() -> Result<()> {
    // The big replies are more than the sockets on the way take, so that what is written to the program waits when its
    // resets come, and then fails.
    let origin = format!(
        "
create_server = socket.create_server
def roomy(*place, **options):
    listener = create_server(*place, **options)
    listener.setsockopt(socket.SOL_SOCKET, 32, 1 << 23)  # SO_SNDBUFFORCE
    return listener
socket.create_server = roomy
{TOLD}"
    );
    let program = "
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
sock.connect(ADDRESS)
sock.sendall(PREFACE)
c = Connection(sock, {SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 24})
c.window(0, 1 << 24)
for stream in (1, 3):
    c.headers(stream, request('/', 'POST'))
    while not isinstance(c.next(), HeadersFrame): pass
for stream in range(5, 25, 2):
    c.headers(stream, request('/big'), end=True)
while not isinstance(c.next(), DataFrame): pass
def window():  # tcpi_rcv_wnd, of Linux 6.2 and later
    return struct.unpack_from('I', sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 232)[0]
until = time.monotonic() + 10
while window() and time.monotonic() < until: time.sleep(0.01)
say('window', window())
c.tear()
c.send(RstStreamFrame(1, error_code=13), RstStreamFrame(3, error_code=2))
c.sock.close()";
    let direct = like_direct(&origin, program)?;
    ensure!(direct.program == "window 0\n", "{direct:?}");
    ensure!(direct.origin == "[(1, 13), (3, 2)]\n", "{direct:?}");
    Ok(())
}
