// SPDX-License-Identifier: Apache-2.0
//! How HTTP/2 connections and streams end: what is lost is lost in the same way, and what of it may be sent again.

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{direct, like_direct, under, under_nothing};
use anyhow::{Result, ensure};

/// Answers the first request of a connection; at the second one it closes without a word.
const STALE: &str = "
def talk(c, number):
    stream = c.next().stream_id
    answer(c, stream, body=b'%d' % number)
    say('connection', number, dict(c.next().fields)[b':method'].decode())
serve(talk)";

#[test]
fn a_get_that_meets_a_stale_connection_is_sent_again_on_a_fresh_one() -> Result<()> {
    let program = "
c = dial()
for stream in (1, 3):
    c.headers(stream, request(), end=True)
    say(c.message(stream))";
    let seen = under_nothing(STALE, program)?;
    seen.check("head [:status: 200] body 1 '0' end\nhead [:status: 200] body 1 '1' end", "connection 0 GET")
}

#[test]
fn a_post_that_meets_a_stale_connection_fails_as_it_does_directly() -> Result<()> {
    let program = "
c = dial()
c.headers(1, request(), end=True)
say(c.message(1))
c.headers(3, request('/', 'POST'))
c.data(3, b'pay', end=True)
say(c.message(3).end in ('connection fin', 'connection reset'))";
    let direct = like_direct(STALE, program)?;
    direct.check("head [:status: 200] body 1 '0' end\nTrue", "connection 0 POST")
}

#[test]
fn a_connection_that_is_lost_is_lost_for_the_program_in_the_same_way() -> Result<()> {
    for (how, end) in [("pass", "fin"), ("c.tear()", "reset")] {
        let origin = format!(
            "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'half')
    c.next()
    {how}
serve(talk)"
        );
        // Half a reply, which the program has seen before the connection is lost.
        let program = "
c = dial()
c.headers(1, request(), end=True)
c.next(), c.next()
c.headers(3, request('/', 'POST'), end=True)
say(c.message(1).end)";
        let direct = like_direct(&origin, program)?;
        ensure!(direct.program == format!("connection {end}\n"), "{direct:?}");
    }
    Ok(())
}

#[test]
fn a_refused_stream_is_repeated_if_a_policy_says_so() -> Result<()> {
    let origin = "
def talk(c, number):
    for n in range(2):
        frame = c.next()
        body = c.message(frame.stream_id).body
        say(dict(frame.fields)[b':method'].decode(), body)
        if n:
            answer(c, frame.stream_id)
        else:
            c.reset(frame.stream_id, REFUSED_STREAM)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/', 'POST'))
c.data(1, b'pay', end=True)
told = c.message(1)
say(told.status(), told.end)";
    let seen = under(&Ambassador::run("--retry 2 -q")?, origin, program)?;
    seen.check("200 end", "POST b'pay'\nPOST b'pay'")
}

#[test]
fn a_connection_that_is_lost_within_a_reply_resets_its_stream_where_a_policy_is() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'half')
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
say(c.message(1))";
    let seen = under(&Ambassador::run("--retry 2 -q")?, origin, program)?;
    seen.check("head [:status: 200] body 4 'half' reset 2", "")
}

#[test]
fn a_request_whose_reader_takes_nothing_ends_at_its_time() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'x' * 10000)
    c.data(stream, b'x' * 10000)
    frame = c.next()
    say('reset', frame.error_code)
    c.finish()
serve(talk)";
    let program = "
c = dial({SettingsFrame.INITIAL_WINDOW_SIZE: 100}, credit=False)
began = time.monotonic()
c.headers(1, request(), end=True)
told = c.message(1)
say(len(told.body), told.end, 1 < time.monotonic() - began < 3)";
    let seen = under(&Ambassador::run("--timeout 1s -q")?, origin, program)?;
    seen.check("100 reset 8 True", "reset 8")
}

#[test]
fn a_program_that_is_gone_is_gone_for_the_origin() -> Result<()> {
    let origin = "
def talk(c, number):
    c.headers(c.next().stream_id, [(':status', '200')])
    began = time.monotonic()
    c.finish()
    say('gone soon', time.monotonic() - began < 5)
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
c.next()";
    let direct = like_direct(origin, program)?;
    direct.check("", "gone soon True")
}

#[test]
fn a_thousand_requests_after_each_other_use_one_connection() -> Result<()> {
    let origin = "
def talk(c, number):
    count = 0
    try:
        while True:
            answer(c, c.next().stream_id, body=b'ok')
            count += 1
    except Ended:
        say('connection', number, 'had', count)
serve(talk)";
    let program = "
c = dial()
for n in range(1000):
    c.headers(1 + 2 * n, request(), end=True)
    assert c.message(1 + 2 * n).body == b'ok'
say('done')";
    let direct = like_direct(origin, program)?;
    direct.check("done", "connection 0 had 1000")?;
    Ok(())
}

#[test]
fn an_origin_that_ends_before_it_is_asked_ends_the_program() -> Result<()> {
    let origin = "
def talk(c, number):
    say('connection', number)
serve(talk)";
    let program = "
c = dial()
say(c.finish())";
    let direct = like_direct(origin, program)?;
    direct.check("fin", "connection 0")
}

#[test]
fn an_origin_that_ends_without_a_word_lets_nobody_say_one() -> Result<()> {
    let origin = "
listener = socket.create_server(ADDRESS)
def one():
    while True:
        sock, _ = listener.accept()
        heard = len(sock.recv(100))
        while heard < len(PREFACE) + 9:
            heard += len(sock.recv(100))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(100):
            pass
        sock.close()
threading.Thread(target=one, daemon=True).start()
say('ready')
sys.stdin.read()
os._exit(0)";
    let program = "
for n in range(50):
    c = dial()
    try:
        say(c.read())
    except Ended as ended:
        say(ended)";
    let direct = like_direct(origin, program)?;
    ensure!(direct.program == "fin\n".repeat(50), "{direct:?}");
    Ok(())
}

/// Servers of HTTP/2 speak first, with SETTINGS; one of another protocol that begins alike is only late.
#[test]
fn a_server_that_greets_like_http2_but_is_not_is_heard_all_the_same() -> Result<()> {
    let origin = "
def talk(sock):
    sock.sendall(bytes.fromhex('000012040000000000') + b'hello')
    say(sock.recv(100))
    sock.close()
serve_raw(talk)";
    let program = "
sock = socket.create_connection(ADDRESS, 20)
began, got = time.monotonic(), b''
while len(got) < 14:
    got += sock.recv(100)
say(got[9:], time.monotonic() - began < 3)
sock.sendall(b'hello yourself')
say(sock.recv(100))";
    let direct = like_direct(origin, program)?;
    direct.check("b'hello' True\nb''", "b'hello yourself'")
}

#[test]
fn what_became_of_each_stream_is_said_in_its_line() -> Result<()> {
    let origin = "
refused = []
def talk(c, number):
    try:
        while True:
            frame = c.next()
            if not isinstance(frame, HeadersFrame):
                continue
            path, stream = dict(frame.fields)[b':path'], frame.stream_id
            if path == b'/refused' and not refused:
                refused.append(stream)
                c.goaway(stream - 2)
            elif path == b'/reset':
                c.reset(stream, INTERNAL_ERROR)
            elif path == b'/cut':
                c.headers(stream, [(':status', '200')])
                c.data(stream, b'half')
                c.reset(stream, CANCEL)
            elif path == b'/failed':
                c.headers(stream, [(':status', '200'), ('content-type', 'application/grpc')])
                c.headers(stream, [('grpc-status', '13')], end=True)
            elif path != b'/cancelled':
                answer(c, stream, body=b'12345')
    except Ended:
        pass
serve(talk)";
    let program = "
c = dial()
c.headers(1, request('/cancelled', 'POST'))
c.data(1, b'123')
c.ping(b'12345678')
c.pong()
c.reset(1, CANCEL)
for n, path in enumerate(('fine', 'reset', 'cut', 'failed', 'refused')):
    c.headers(3 + 2 * n, request('/' + path), end=True)
    c.message(3 + 2 * n)";
    let seen = under(&Ambassador::run("-o json")?, origin, program)?;
    let lines: Vec<serde_json::Value> =
        seen.errors.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (path, want) in [
        ("/fine", "200 null null 1 5"),
        ("/cancelled", "null null client_gone 1 0"),
        ("/reset", "null null reset 1 0"),
        ("/cut", "200 null reset 1 4"),
        ("/failed", "200 13 null 1 0"),
        ("/refused", "200 null null 2 5"),
    ] {
        let line = lines.iter().find(|line| line["path"] == path);
        let field = |name: &str| {
            line.map_or_else(String::new, |line| line[name].to_string().trim_matches('"').to_owned())
        };
        let said = ["status", "grpc_status", "error", "attempts", "bytes_received"].map(field).join(" ");
        ensure!(said == want, "{path}: {said}\n{}", seen.errors);
    }
    Ok(())
}

#[test]
fn the_origin_is_asked_not_to_push() -> Result<()> {
    let origin = "
def talk(c, number):
    answer(c, c.next().stream_id)
    say('push', c.theirs.get(SettingsFrame.ENABLE_PUSH, 1))
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
say(c.message(1).status())";
    direct(origin, program)?.check("200", "push 1")?;
    under_nothing(origin, program)?.check("200", "push 0")
}
