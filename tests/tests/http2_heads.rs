// SPDX-License-Identifier: Apache-2.0
//! What of an HTTP/2 head passes unchanged, and the few things that do not (ARCHITECTURE.md, *What HTTP/2 through
//! ambassador changes*).

use ambassador_tests::Ambassador;
use ambassador_tests::two_sided::{Seen, direct, like_direct, under};
use anyhow::{Result, ensure};

/// Prints the head of each request, and answers with the head that the request's path names in `replies`.
const ORIGIN: &str = "
def talk(c, number):
    try:
        while True:
            frame = c.next()
            if not isinstance(frame, HeadersFrame):
                continue
            say(shown(frame.fields))
            if 'END_STREAM' not in frame.flags:
                c.message(frame.stream_id)
            c.headers(frame.stream_id, REPLIES.get(dict(frame.fields).get(b':path'), [(':status', '200')]), end=True)
    except Ended:
        pass
REPLIES = {}
";

fn origin(replies: &str) -> String {
    format!("{ORIGIN}\n{replies}\nserve(talk)")
}

/// Sends `heads`, a Python list of lists of fields, one after the other, and prints what came back.
fn program(heads: &str) -> String {
    format!(
        "
c = dial()
for n, fields in enumerate({heads}):
    c.headers(1 + 2 * n, fields, end=True)
    say(c.message(1 + 2 * n))"
    )
}

fn both(heads: &str, replies: &str) -> Result<(Seen, Seen)> {
    let (origin, program) = (origin(replies), program(heads));
    let direct = direct(&origin, &program)?;
    Ok((direct, under(&Ambassador::run("-q")?, &origin, &program)?))
}

#[test]
fn ordinary_heads_pass_with_their_order_and_bytes() -> Result<()> {
    let heads = r#"[
        request('/a?b=c%20d&e', 'GET', ('x-z', '1'), ('a-first', '2'), ('user-agent', 'me')),
        request('/', 'OPTIONS', ('te', 'trailers'), ('cookie', 'a=b'), ('cookie', 'c=d')),
        request('*', 'OPTIONS'),
        request('/', 'PROPFIND', ('x-empty', ''), ('x-spaced', 'a  b'), ('x-latin', b'\xe9\xff')),
        request('/', 'M-SEARCH', ('x', '1'), ('content-length', '0')),
        request('/caf\u00e9?\u00fc', 'GET'),
        request('//double/../dots/./', 'GET'),
        request("/!$&'()*+,;=:@~-._[]|{}\"", 'GET'),
        request('/', 'GET', ('host', 'other.example')),
        [(':method', 'GET'), (':scheme', 'https'), (':authority', 'a.example:8443'), (':path', '/')],
        [(':method', 'GET'), (':scheme', 'http'), (':authority', 'user@a.example'), (':path', '/')],
        [(':method', 'GET'), (':scheme', 'http'), (':path', '/'), ('host', 'only.example')],
        request('/', 'GET', ('authorization', 'secret'), ('x-dup', '1'), ('x-dup', '2'), ('x-last', '3')),
        request('/', 'GET', ('x-long', 'y' * 40000)),
        request('/head', 'HEAD'), request('/304', 'GET'), request('/204', 'GET'), request('/odd', 'GET'),
    ]"#;
    let replies = r"
REPLIES[b'/a?b=c%20d&e'] = [(':status', '299'), ('x-z', '1'), ('a-first', ''), ('set-cookie', 'a=b'),
                            ('set-cookie', 'c=d'), ('x-latin', b'\xe9\xff')]
REPLIES[b'/head'] = [(':status', '200'), ('content-length', '5')]
REPLIES[b'/304'] = [(':status', '304'), ('content-length', '5'), ('etag', 'x')]
REPLIES[b'/204'] = [(':status', '204')]
REPLIES[b'/odd'] = [(':status', '666'), ('date', 'never'), ('server', '')]
REPLIES[b'*'] = [(':status', '404'), ('content-length', '0'), ('x-long', 'y' * 40000)]
";
    like_direct(&origin(replies), &program(heads))?;
    Ok(())
}

/// The fields of one name stand together, where the first of them stood.
#[test]
fn repeated_fields_are_grouped() -> Result<()> {
    let heads = "[request('/', 'GET', ('x-a', '1'), ('x-b', '2'), ('x-a', '3'))]";
    let (direct, under) = both(heads, "")?;
    ensure!(direct.origin.contains("x-a: 1, x-b: 2, x-a: 3"), "{direct:?}");
    ensure!(under.origin.contains("x-a: 1, x-a: 3, x-b: 2"), "{under:?}");
    Ok(())
}

/// What RFC 9113 §8.2 calls malformed is refused by reset, as servers do, and does not reach the origin.
#[test]
fn pseudo_fields_have_an_order_of_their_own() -> Result<()> {
    let heads = "[[(':method', 'GET'), (':path', '/'), (':authority', 'a'), (':scheme', 'http')]]";
    let (direct, under) = both(heads, "")?;
    ensure!(direct.origin.contains(":method: GET, :path: /, :authority: a, :scheme: http"), "{direct:?}");
    ensure!(under.origin.contains(":method: GET, :scheme: http, :authority: a, :path: /"), "{under:?}");
    Ok(())
}

#[test]
fn frames_without_data_are_not_passed_on() -> Result<()> {
    let origin = "
def talk(c, number):
    stream = c.next().stream_id
    c.headers(stream, [(':status', '200')])
    c.data(stream, b'')
    c.data(stream, b'x')
    c.data(stream, b'', end=True)
    c.finish()
serve(talk)";
    let program = "
c = dial()
c.headers(1, request(), end=True)
sizes = []
while 'END_STREAM' not in (frame := c.next()).flags:
    if isinstance(frame, DataFrame):
        sizes.append(len(frame.data))
say(sizes, len(frame.data))";
    direct(origin, program)?.check("[0, 1] 0", "")?;
    under(&Ambassador::run("-q")?, origin, program)?.check("[1] 0", "")
}

#[test]
fn malformed_heads_are_refused() -> Result<()> {
    for fields in [
        "request('/', 'GET', ('X-Upper', '1'))",
        "request('/', 'GET', ('connection', 'close'))",
        "request('/', 'GET', ('te', 'gzip'))",
        "request('/', 'GET', ('x-bad', b'a\\nb'))",
        "request('/', 'GET', ('x-nul', b'a\\0b'))",
        "request('', 'GET')",
        "request(b'/\\xe9', 'GET')",
        "request('/a b', 'GET')",
        "request('/', 'GET', (':late', '1'))",
        "[(':method', 'GET'), (':path', '/'), (':authority', 'a')]",
        "[(':method', 'GET'), (':scheme', 'http'), (':path', '/'), (':authority', '')]",
    ] {
        let seen = under(
            &Ambassador::run("-q")?,
            &origin(""),
            &format!(
                "
c = dial()
c.headers(1, {fields}, end=True)
told = c.message(1)
say(told.end if told.head is None else 'answered')"
            ),
        )?;
        let refused = ["reset 1", "connection fin", "connection reset"].contains(&seen.program.trim_end());
        ensure!(refused && seen.origin.is_empty(), "{fields}: {seen:?}");
    }
    Ok(())
}

#[test]
fn a_tunnel_of_connect_passes_both_ways() -> Result<()> {
    let origin = "
def talk(c, number):
    frame = c.next()
    say(shown(frame.fields))
    c.headers(frame.stream_id, [(':status', '200')])
    while True:
        frame = c.next()
        c.data(frame.stream_id, frame.data[::-1], end='END_STREAM' in frame.flags)
serve(talk)";
    let program = "
c = dial()
c.headers(1, [(':method', 'CONNECT'), (':authority', 'db.example:5432')])
say(shown(c.next().fields))
for word in (b'one', b'two'):
    c.data(1, word)
    say(c.next().data)
c.data(1, b'end', end=True)
say(c.message(1))";
    let direct = like_direct(origin, program)?;
    ensure!(
        direct.program.contains("b'eno'\nb'owt'") && direct.program.ends_with("body 3 'dne' end\n"),
        "{direct:?}"
    );
    Ok(())
}

/// Ambassador does not offer it, because it does not know in time whether the origin would; who uses it all the same
/// is refused, and the connection goes on.
#[test]
fn extended_connect_is_refused_clearly() -> Result<()> {
    let program = "
c = dial()
c.headers(1, [(':method', 'CONNECT'), (':protocol', 'websocket'), (':scheme', 'http'), (':authority', 'a'),
              (':path', '/chat')])
say('connect', c.message(1).end)
c.headers(3, request(), end=True)
say(c.message(3), 'offered', c.theirs.get(8, 0))";
    let seen = under(&Ambassador::run("-q")?, &origin(""), program)?;
    ensure!(seen.program == "connect reset 1\nhead [:status: 200] body 0 '' end offered 0\n", "{seen:?}");
    Ok(())
}

#[test]
fn a_head_that_is_too_large_is_told_so() -> Result<()> {
    let program = "
c = dial()
c.headers(1, request('/', 'GET', ('x-long', 'y' * 70000)), end=True)
say(c.message(1))
c.headers(3, request(), end=True)
say(c.message(3).status())";
    let seen = under(&Ambassador::run("-q")?, &origin(""), program)?;
    ensure!(seen.program.contains("431") && seen.program.ends_with("200\n"), "{seen:?}");
    Ok(())
}

#[test]
fn priorities_and_frames_of_extensions_end_at_ambassador() -> Result<()> {
    let origin = "
from hyperframe.frame import AltSvcFrame
def talk(c, number):
    c.send(AltSvcFrame(0, origin=b'http://origin.example', field=b'h2=\":1\"'))
    seen, frame = [], None
    while not isinstance(frame, HeadersFrame):
        frame = c.read()
        if isinstance(frame, PriorityFrame):
            seen.append('priority')
    say('saw', *seen)
    answer(c, frame.stream_id)
serve(talk)";
    let program = "
from hyperframe.frame import AltSvcFrame
c = dial()
c.send(PriorityFrame(3, depends_on=0, stream_weight=10))
c.headers(1, request(), end=True)
seen, frame = [], None
while not isinstance(frame, HeadersFrame):
    frame = c.read()
    if isinstance(frame, AltSvcFrame):
        seen.append('extension')
say('saw', *seen)";
    for (seen, program, origin) in [
        (direct(origin, program)?, "saw extension", "saw priority"),
        (under(&Ambassador::run("-q")?, origin, program)?, "saw", "saw"),
    ] {
        ensure!(seen.program.trim_end() == program, "the program: {seen:?}");
        ensure!(seen.origin.trim_end() == origin, "the origin: {seen:?}");
    }
    Ok(())
}
