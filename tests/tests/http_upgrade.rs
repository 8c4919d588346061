// SPDX-License-Identifier: Apache-2.0
//! Connections that stop to be HTTP: WebSocket, CONNECT, h2c. From the origin's agreement on they are bytes, counted
//! and bounded by the idle limit alone; until then they are requests as any other.

use std::time::Duration;

use ambassador_tests::script::{BEAT, Case, Scene, Step, check, in_every_mode, send};
use ambassador_tests::{Ambassador, summary};
use anyhow::{Result, bail, ensure};

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OK_IN_CHUNKS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// Lets what was sent before arrive alone.
const PAUSE: Duration = Duration::from_millis(50);

/// What one end says next, and the other reads before it goes on.
enum Turn<'a> {
    Program(&'a [u8]),
    Origin(&'a [u8]),
    Quiet(Duration),
}
use Turn::{Origin, Program, Quiet};

/// A case in which the ends take turns.
fn turns(name: &'static str, turns: &[Turn<'_>]) -> Case {
    let (mut program, mut origin) = (Vec::new(), Vec::new());
    let (mut sent, mut received) = (0, 0);
    for turn in turns {
        match turn {
            Program(bytes) => {
                sent += bytes.len();
                program.push(send(bytes));
                origin.push(Step::Until(sent));
            }
            Origin(bytes) => {
                received += bytes.len();
                origin.push(send(bytes));
                program.push(Step::Until(received));
            }
            Quiet(pause) => program.push(Step::Pause(*pause)),
        }
    }
    Case { name, program, origin }
}

#[test]
fn upgraded_connections_are_bytes() -> Result<()> {
    let frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let h2c = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    let h2c_post = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 4\r\n\r\n";
    let to_h2c = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    check(
        CLIENT,
        &[
            turns(
                "WebSocket",
                &[
                    Program(ASK),
                    Origin(AGREED),
                    Program(frame),
                    Origin(b"\x81\x05Hello"),
                    Program(frame),
                    Origin(b"\x88\x00"),
                ],
            ),
            turns(
                "frames with the agreement",
                &[Program(ASK), Origin(&[AGREED, b"\x81\x05Hello"].concat()), Program(frame)],
            ),
            turns(
                "frames ahead of the agreement",
                &[Program(&[ASK, frame].concat()), Origin(AGREED), Origin(b"\x81\x05Hello")],
            ),
            turns(
                "half-closes in order",
                &[
                    Program(ASK),
                    Origin(AGREED),
                    Program(&b"x".repeat(700_000)),
                    Origin(&b"y".repeat(700_000)),
                ],
            ),
            turns("refused with 200", &[Program(ASK), Origin(OK), Program(GET), Origin(OK)]),
            turns(
                "refused, and so is what came ahead, at once",
                &[
                    Program(&[ASK, frame].concat()),
                    Origin(&[OK, BAD].concat()),
                    Program(frame),
                    Origin(b"bye"),
                ],
            ),
            turns(
                "refused at length, and so is what came ahead",
                &[
                    Program(&[ASK, frame].concat()),
                    Origin(&[OK_IN_CHUNKS, b"2\r\n"].concat()),
                    Origin(&[b"ok\r\n0\r\n\r\n", BAD].concat()),
                ],
            ),
            turns(
                "refused with 426",
                &[
                    Program(ASK),
                    Origin(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 3\r\n\r\nno!"),
                    Program(GET),
                    Origin(OK),
                ],
            ),
            turns(
                "h2c",
                &[
                    Program(h2c),
                    Origin(to_h2c),
                    Origin(settings),
                    Program(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                    Origin(settings),
                ],
            ),
            turns("h2c refused", &[Program(h2c), Origin(OK), Program(GET), Origin(OK)]),
            turns(
                "h2c before a body",
                &[Program(h2c_post), Origin(to_h2c), Program(b"body"), Program(GET), Origin(settings)],
            ),
            turns(
                "h2c after a body",
                &[
                    Program(&[h2c_post, &b"body"[..]].concat()),
                    Origin(to_h2c),
                    Program(GET),
                    Origin(settings),
                ],
            ),
        ],
        &in_every_mode()?,
    )
}

#[test]
fn connect_through_an_http_proxy() -> Result<()> {
    let connect = b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n";
    let again = b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\nProxy-Authorization: Basic YTpi\r\n\r\n";
    let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let hello = b"\x16\x03\x01\0\x05hello";
    check(
        CLIENT,
        &[
            turns("a tunnel", &[Program(connect), Origin(established), Program(hello), Origin(b"\x16\x03\x03\0\x02ok"), Program(b"more")]),
            turns("a server that speaks first", &[Program(connect), Origin(&[&established[..], b"220 hi\r\n"].concat()), Program(b"EHLO\r\n")]),
            turns("early bytes", &[Program(&[&connect[..], hello].concat()), Origin(established), Origin(b"answer")]),
            turns("a length that means nothing", &[Program(connect), Origin(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), Program(hello), Origin(b"answer")]),
            turns("HTTP/1.0", &[Program(b"CONNECT a:1 HTTP/1.0\r\n\r\n"), Origin(b"HTTP/1.0 200 OK\r\n\r\n"), Program(hello), Origin(b"answer")]),
            turns("407 with a body, then a tunnel", &[Program(connect), Origin(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nwho?"), Program(again), Origin(established), Program(hello)]),
            turns("407 to HTTP/1.0, then a tunnel", &[Program(b"CONNECT a:1 HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n\r\n"), Origin(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nwho?"), Program(again), Origin(established), Program(hello)]),
            turns("HTTP/1.0 that is kept unasked", &[Program(b"GET / HTTP/1.0\r\n\r\n"), Origin(OK), Program(b"GET / HTTP/1.0\r\n\r\n"), Origin(OK)]),
            turns("407 and the end", &[Program(connect), Origin(b"HTTP/1.1 407 Who\r\nConnection: close\r\n\r\nwho?")]),
        ],
        &in_every_mode()?,
    )
}

#[test]
fn what_can_begin_no_request_goes_on_at_once() -> Result<()> {
    let position = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n";
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    let source = b"SOURCE /live HTTP/1.0\r\nContent-Type: audio/mpeg\r\n\r\n";
    check(
        CLIENT,
        &[
            turns("with a request", &[Program(&[GET, position].concat()), Origin(OK)]),
            turns("before the reply", &[Program(GET), Quiet(PAUSE), Program(position), Origin(OK)]),
            turns("with a body", &[Program(&[post, &position[..]].concat()), Origin(OK)]),
            turns(
                "after a body",
                &[Program(&post[..49]), Quiet(PAUSE), Program(&post[49..]), Program(position), Origin(OK)],
            ),
            turns(
                "requests again",
                &[Program(&[GET, position].concat()), Origin(OK), Program(GET), Origin(OK)],
            ),
            turns("an empty line before", &[Program(&[GET, b"\r\n", position].concat()), Origin(OK)]),
            turns(
                "a stream of corrections",
                &[
                    Program(GET),
                    Origin(chunked),
                    Program(position),
                    Origin(b"3\r\ntwo\r\n"),
                    Program(position),
                    Origin(b"0\r\n\r\n"),
                ],
            ),
            turns(
                "until the end",
                &[
                    Program(source),
                    Origin(b"HTTP/1.0 200 OK\r\n\r\n"),
                    Program(&b"\xff\xfb\x90\x64".repeat(100_000)),
                    Origin(b"bye"),
                ],
            ),
            Case {
                name: "half a line, and the end",
                program: vec![send(GET), BEAT, send(b"foo"), Step::HalfClose],
                origin: vec![Step::Until(GET.len() + 3), send(OK)],
            },
            turns(
                "between two requests",
                &[
                    Program(GET),
                    Origin(OK),
                    Program(position),
                    Origin(b"yes"),
                    Program(position),
                    Origin(b"yes"),
                ],
            ),
        ],
        &in_every_mode()?,
    )
}

#[test]
fn time_limits_of_requests_end_with_the_agreement() -> Result<()> {
    let long = Quiet(Duration::from_millis(1200));
    let case = turns(
        "long-lived",
        &[Program(ASK), Origin(AGREED), Program(b"a"), Origin(b"b"), long, Program(b"c"), Origin(b"d")],
    );
    check(CLIENT, &[case], &[Ambassador::run("-q --timeout 500ms --per-try-timeout 400ms")?])
}

#[test]
fn an_upgrade_that_nobody_answers_times_out() -> Result<()> {
    let case = Case { name: "no answer", program: vec![send(ASK)], origin: vec![Step::Until(ASK.len() + 1)] };
    let scene = Scene::new(CLIENT, &[case])?;
    let (seen, _) = scene.under(&Ambassador::run("-q --timeout 500ms")?)?;
    ensure!(seen[0].program.contains(" HTTP/1.1 504 "), "{seen:?}");
    Ok(())
}

#[test]
fn bytes_of_both_directions_are_counted() -> Result<()> {
    let (up, down) = ([b'x'; 1000].repeat(100), [b'y'; 1000].repeat(200));
    let cases = [
        turns("WebSocket", &[Program(ASK), Origin(AGREED), Program(&up), Origin(&down)]),
        turns("not HTTP", &[Program(GET), Origin(b"ICY 200 OK\r\n\r\n"), Program(&up), Origin(&down)]),
        turns("no request", &[Program(b"GET / HTTP/1.2\r\n\r\n"), Program(&up), Origin(&down)]),
    ];
    let lengths = [(ASK.len(), AGREED.len()), (GET.len(), 14), (18, 0)];
    for (case, (asked, agreed)) in cases.iter().zip(lengths) {
        let scene = Scene::new(CLIENT, std::slice::from_ref(case))?;
        let (_, under) = scene.under(&Ambassador::run("-o json")?)?;
        let destinations = summary::destinations(&under.errors());
        let [destination] = &destinations[..] else { bail!("{destinations:?}") };
        let counted = (destination.count("bytes_sent")?, destination.count("bytes_received")?);
        let want = (u64::try_from(asked + up.len())?, u64::try_from(agreed + down.len())?);
        ensure!(counted == want, "{}: {counted:?}, wanted {want:?}: {destination:?}", case.name);
    }
    Ok(())
}

#[test]
fn the_idle_limit_ends_upgraded_connections() -> Result<()> {
    let busy: Vec<Turn<'_>> =
        (0..6).flat_map(|_| [Program(b"x"), Origin(b"y"), Quiet(Duration::from_millis(150))]).collect();
    let mut all = vec![Program(ASK), Origin(AGREED)];
    all.extend(busy);
    let mut silent = turns("silent", &[Program(ASK), Origin(AGREED)]);
    // It waits for a byte that never comes.
    silent.origin.push(Step::Until(ASK.len() + 1));
    let cases = [turns("busy", &all), silent];
    let scene = Scene::new(CLIENT, &cases)?;
    let idle = "version: v1\ndefaults: {timeouts: {idle: 500ms}}\n";
    let (seen, _) = scene.under(&Ambassador::with_policy("-q", idle)?)?;
    ensure!(seen[0].program.contains("yyyyyy | end"), "{seen:?}");
    ensure!(seen[1].program.ends_with("| reset") && seen[1].origin.ends_with("| reset"), "{seen:?}");
    Ok(())
}

#[test]
fn a_relayed_flow_waits_for_its_slower_side() -> Result<()> {
    // What is sent ahead of a pause must not be lost when it is sent in pieces.
    let pieces: Vec<Step> =
        ASK.chunks(7).flat_map(|piece| [send(piece), Step::Pause(Duration::from_millis(5))]).collect();
    let case = Case {
        name: "in pieces",
        program: [pieces, vec![Step::Until(AGREED.len()), send(b"x"), Step::Until(AGREED.len() + 1)]]
            .concat(),
        origin: vec![Step::Until(ASK.len()), send(AGREED), Step::Until(ASK.len() + 1), BEAT, send(b"y")],
    };
    check(CLIENT, &[case], &in_every_mode()?)
}
