// SPDX-License-Identifier: Apache-2.0
//! Policies of gRPC calls: which statuses are retried, what the breaker counts, and what ambassador's own refusals are.

use ambassador_tests::two_sided::{GRPC, PEERS, Seen, TwoSided};
use ambassador_tests::{Ambassador, summary};
use anyhow::{Context, Result, ensure};

fn under(flags: &str, policy: &str, origin: &str, program: &str) -> Result<Seen> {
    let ambassador = if policy.is_empty() {
        Ambassador::run(flags)?
    } else {
        Ambassador::with_policy(flags, &format!("version: v1\nroutes:\n  - name: all\n    {policy}\n"))?
    };
    TwoSided { prelude: GRPC, origin, program }.under(&ambassador)
}

/// Fails the first call of each status that is asked for, and says which calls arrive.
const FIRST_FAILS: &str = "
codes = {code.value[0]: code for code in StatusCode}
seen = set()
def unary(request, context):
    say(request)
    if request not in seen:
        seen.add(request)
        context.abort(codes[int(request)], 'not now')
    return b'now'
serve(unary)";

const CALL_EACH: &str = "
client = Client()
for code in (1, 4, 8, 13, 14, 2, 5):
    say(code, outcome(lambda: client.unary(b'%d' % code)))";

/// Who declares that a call may be sent twice gets the classes that `retryOn` names, and no others.
#[test]
fn an_idempotent_route_retries_the_statuses_that_retry_on_names() -> Result<()> {
    for (word, code) in [
        ("cancelled", 1),
        ("deadline-exceeded", 4),
        ("resource-exhausted", 8),
        ("internal", 13),
        ("unavailable", 14),
    ] {
        let policy = format!("retry: {{attempts: 2, retryOn: [{word}], idempotent: true}}");
        let seen = under("-q", &policy, FIRST_FAILS, CALL_EACH)?;
        for line in seen.program.lines() {
            let (called, told) = line.split_once(' ').context("a line of the program")?;
            let want = if called == code.to_string() { "b'now'" } else { "not now" };
            ensure!(told.ends_with(want), "{word}: {line}");
            let arrivals = seen.origin.lines().filter(|line| *line == format!("b'{called}'")).count();
            ensure!(
                arrivals == if want == "b'now'" { 2 } else { 1 },
                "{word}: {called} arrived {arrivals} times"
            );
        }
        ensure!(seen.program.lines().count() == 7, "{}", seen.program);
    }
    Ok(())
}

/// Every gRPC call is a POST, and each of these was processed: no status means that it may be repeated, whether
/// `retryOn` names it or not.
#[test]
fn no_call_that_was_processed_is_repeated_by_default() -> Result<()> {
    let named = "retry: {attempts: 3, retryOn: [cancelled, deadline-exceeded, resource-exhausted, internal, unavailable]}";
    for (flags, policy) in [("--retry 3 -q", ""), ("-q", named)] {
        let seen = under(flags, policy, FIRST_FAILS, CALL_EACH)?;
        ensure!(
            seen.origin.lines().count() == 7 && !seen.program.contains("b'now'"),
            "{flags} {policy}: {seen:?}"
        );
    }
    Ok(())
}

#[test]
fn a_call_with_an_idempotency_key_is_repeated() -> Result<()> {
    let program = "
client = Client()
say(outcome(lambda: client.unary(b'plain')))
say(outcome(lambda: client.unary(b'keyed', metadata=[('idempotency-key', 'k')])))";
    let origin = "
calls = []
def unary(request, context):
    say(request)
    calls.append(request)
    if calls != [b'plain', b'keyed', b'keyed']:
        context.abort(StatusCode.UNAVAILABLE, 'not now')
    return b'now'
serve(unary)";
    let seen = under("--retry 1 -q", "", origin, program)?;
    ensure!(seen.program == "UNAVAILABLE not now\nb'now'\n", "{seen:?}");
    ensure!(seen.origin == "b'plain'\nb'keyed'\nb'keyed'\n", "{seen:?}");
    Ok(())
}

#[test]
fn a_status_after_a_reply_has_begun_is_not_retried_but_opens_the_breaker() -> Result<()> {
    let origin = "
def server_stream(request, context):
    say('called')
    yield b'one'
    context.abort(StatusCode.UNAVAILABLE, 'in the trailers')
serve(server_stream=server_stream)";
    let program = "
client = Client()
for n in range(7):
    say(outcome(lambda: list(client.server_stream(b''))))";
    let seen = under(
        "-q",
        "circuitBreaker: {consecutiveFailures: 5, waitDurationInOpenState: 30s}\n    retry: {attempts: 3, retryOn: [unavailable], idempotent: true}",
        origin,
        program,
    )?;
    ensure!(seen.origin == "called\n".repeat(5), "{seen:?}");
    let told: Vec<&str> = seen.program.lines().collect();
    ensure!(told.iter().filter(|line| **line == "UNAVAILABLE in the trailers").count() == 5, "{told:?}");
    ensure!(
        told.iter().filter(|line| line.starts_with("UNAVAILABLE the circuit breaker is open")).count() == 2,
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_request_beyond_its_time_has_exceeded_its_deadline() -> Result<()> {
    let origin = "
def unary(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    say('cancelled', ended.wait(10))
    return b''
def server_stream(request, context):
    yield b'one'
    unary(request, context)
serve(unary, server_stream)";
    let program = "
client = Client()
began = time.monotonic()
say(outcome(lambda: client.unary(b'')))
say(outcome(lambda: list(client.server_stream(b''))))
say(1 <= time.monotonic() - began < 4)";
    let seen = under("--timeout 600ms -q", "", origin, program)?;
    let told: Vec<&str> = seen.program.lines().collect();
    ensure!(told.len() == 3 && told[2] == "True", "{seen:?}");
    ensure!(told[0].starts_with("DEADLINE_EXCEEDED the request took longer than 600ms"), "{seen:?}");
    ensure!(
        told[1].starts_with("DEADLINE_EXCEEDED ambassador: the time of the request was over"),
        "{seen:?}"
    );
    ensure!(seen.origin == "cancelled True\ncancelled True\n", "{seen:?}");
    Ok(())
}

#[test]
fn a_call_beyond_a_limit_has_exhausted_a_resource() -> Result<()> {
    let origin = "
def unary(request, context):
    time.sleep(1)
    return b'done'
serve(unary)";
    let program = "
client = Client()
calls = [client.unary.future(b'') for n in range(3)]
say(sorted(call.code().name for call in calls))";
    let seen = under("-q", "connectionPool: {maxRequests: 1}", origin, program)?;
    ensure!(seen.program == "['OK', 'RESOURCE_EXHAUSTED', 'RESOURCE_EXHAUSTED']\n", "{seen:?}");
    Ok(())
}

#[test]
fn an_origin_that_refuses_connects_is_unavailable_with_the_reason() -> Result<()> {
    let program = "
client = Client()
say(outcome(lambda: client.unary(b'')))";
    // Another port than the one that the program dials.
    let origin = "ADDRESS = '10.77.0.2:8081'\nserve(lambda request, context: b'')";
    let seen = under("-q", "connect: eager\n    timeouts: {request: 5s}", origin, program)?;
    ensure!(seen.program == "UNAVAILABLE no connection to the upstream\n", "{seen:?}");
    Ok(())
}

/// The bytes of a local refusal: one HEADERS frame which is head and trailers at once.
#[test]
fn a_local_refusal_is_trailers_only() -> Result<()> {
    let origin = "
def talk(c, number):
    try:
        while True:
            frame = c.next()
            c.headers(frame.stream_id, [(':status', '200'), ('content-type', 'application/grpc'),
                                        ('grpc-status', '14')], end=True)
    except Ended:
        pass
serve(talk)";
    let program = "
c = dial()
for stream in (1, 3):
    c.headers(stream, request('/T/Unary', 'POST', ('content-type', 'application/grpc+proto'), ('te', 'trailers')),
              end=True)
    frame = c.next()
    say(sorted(frame.flags), shown(frame.fields))";
    let ambassador = Ambassador::run("--breaker 1 -q")?;
    let seen = TwoSided { prelude: PEERS, origin, program }.under(&ambassador)?;
    let refusal = seen.program.lines().nth(1).context("two replies")?;
    let want = "['END_HEADERS', 'END_STREAM'] :status: 200, content-type: application/grpc, grpc-status: 14, \
                grpc-message: the circuit breaker is open";
    ensure!(refusal.starts_with(want) && refusal.contains("x-ambassador-error: circuit-open"), "{refusal}");
    Ok(())
}

/// What a call ends with when its origin resets it is said by the code, whether a policy answers or not.
#[test]
fn a_call_that_its_origin_resets_has_the_status_of_the_code() -> Result<()> {
    let origin = "
def talk(c, number):
    try:
        while True:
            frame = c.next()
            code = int(dict(frame.fields)[b':path'][1:])
            if code < 99:
                c.reset(frame.stream_id, code)
            else:
                c.headers(frame.stream_id, [(':status', 'abc')], end=True)
    except Ended:
        pass
serve(talk)";
    let program = "
c = dial()
for stream, code in enumerate((0, 1, 2, 3, 8, 11, 12, 99)):
    c.headers(2 * stream + 1, request('/%d' % code, 'POST', ('content-type', 'application/grpc'), ('te', 'trailers')),
              end=True)
    fields = dict(c.next().fields)
    say(code, fields[b'grpc-status'].decode(), fields[b'x-ambassador-error'].decode())";
    let seen = TwoSided { prelude: PEERS, origin, program }.under(&Ambassador::run("--retry 2 -q")?)?;
    let want = [(0, 13), (1, 13), (2, 13), (3, 13), (8, 1), (11, 8), (12, 7), (99, 13)];
    seen.check(&want.map(|(code, status)| format!("{code} {status} http2")).join("\n"), "")
}

/// A program that takes only short heads is told by the reset itself.
#[test]
fn a_refusal_that_is_longer_than_its_program_takes_is_a_reset() -> Result<()> {
    let origin = "
def talk(c, number):
    c.reset(c.next().stream_id, 11)
    c.finish()
serve(talk)";
    let program = "
c = dial({6: 100})
c.headers(1, request('/T/Unary', 'POST', ('content-type', 'application/grpc'), ('te', 'trailers')), end=True)
say(c.message(1))";
    let seen = TwoSided { prelude: PEERS, origin, program }.under(&Ambassador::run("--retry 2 -q")?)?;
    seen.check("no head body 0 '' reset 11", "")
}

/// gRFC A6: the server says in the metadata of a failure when it may be tried again, or that it may not.
#[test]
fn the_servers_pushback_is_obeyed() -> Result<()> {
    let origin = "
calls = []
def unary(request, context):
    say(request)
    calls.append(request)
    if calls.count(request) == 1:
        context.set_trailing_metadata([('grpc-retry-pushback-ms', request.decode())])
        context.abort(StatusCode.UNAVAILABLE, 'not now')
    return b'now'
serve(unary)";
    let program = "
client = Client()
for asked in (b'0', b'700', b'5000', b'-1', b'soon'):
    began = time.monotonic()
    said = outcome(lambda: client.unary(asked))
    say(asked, said, time.monotonic() - began > 0.69)";
    let policy =
        "timeouts: {request: 3s}\n    retry: {attempts: 2, retryOn: [unavailable], idempotent: true}";
    let seen = under("-q", policy, origin, program)?;
    let told = "b'0' b'now' False\nb'700' b'now' True\nb'5000' UNAVAILABLE not now False\n\
                b'-1' UNAVAILABLE not now False\nb'soon' UNAVAILABLE not now False\n";
    ensure!(seen.program == told, "{seen:?}");
    ensure!(seen.origin == "b'0'\nb'0'\nb'700'\nb'700'\nb'5000'\nb'-1'\nb'soon'\n", "{seen:?}");
    Ok(())
}

/// What a retry leads to is judged by what the program got in the end, trailers included.
#[test]
fn a_call_that_ends_badly_was_saved_by_no_retry() -> Result<()> {
    let origin = "
calls = []
def unary(request, context):
    calls.append(request)
    code = request.split()[calls.count(request) - 1]
    if code != b'0':
        context.abort({code.value[0]: code for code in StatusCode}[int(code)], 'not now')
    return b'now'
def server_stream(request, context):
    calls.append(request)
    if calls.count(request) > 1:
        yield b'one'
    context.abort(StatusCode.UNAVAILABLE, 'not now')
serve(unary, server_stream)";
    let policy = "retry: {attempts: 2, retryOn: [unavailable], idempotent: true}";
    for (call, told, saved) in [
        ("unary(b'14 0')", "b'now'", 1),
        ("unary(b'14 14 0')", "b'now'", 1),
        ("unary(b'14 14 14')", "UNAVAILABLE not now", 0),
        // A failure that is not to be retried is one.
        ("unary(b'14 13')", "INTERNAL not now", 0),
        // Not the upstream's failure, but the call's answer.
        ("unary(b'14 5')", "NOT_FOUND not now", 1),
        ("unary(b'13')", "INTERNAL not now", 0),
        ("server_stream(b'')", "UNAVAILABLE not now", 0),
    ] {
        let get =
            if call.starts_with("unary") { format!("client.{call}") } else { format!("list(client.{call})") };
        let program = format!("client = Client()\nsay(outcome(lambda: {get}))\nclient.channel.close()");
        let seen = under("-o json", policy, origin, &program)?;
        ensure!(seen.program == format!("{told}\n"), "{call}: {seen:?}");
        let destination = summary::destination(&seen.errors, "10.77.0.2:8080")?;
        ensure!(destination.count("rescued_by_retry")? == saved, "{call}: {destination:?}");
    }
    Ok(())
}
