// SPDX-License-Identifier: Apache-2.0
//! gRPC through ambassador, with grpcio on both sides: every kind of call, deadlines, cancellation and statuses are
//! what they are directly.

use ambassador_tests::two_sided::{GRPC, TwoSided};
use anyhow::{Result, ensure};

fn like_direct(origin: &str, program: &str) -> Result<(String, String)> {
    let seen = TwoSided { prelude: GRPC, origin, program }.like_direct()?;
    Ok((seen.program, seen.origin))
}

#[test]
fn all_four_kinds_of_call_pass() -> Result<()> {
    let origin = "
def unary(request, context):
    say('asked with', dict(context.invocation_metadata())['x-who'])
    context.send_initial_metadata((('x-first', '1'),))
    context.set_trailing_metadata((('x-last', '2'), ('x-bytes-bin', b'\\0\\xff')))
    return request[::-1]
def server_stream(request, context):
    return (request + b'%d' % n for n in range(500))
def client_stream(requests, context):
    return b'%d' % sum(map(len, requests))
def both(requests, context):
    return (request.upper() for request in requests)
serve(unary, server_stream, client_stream, both)";
    let program = "
client = Client()
reply, call = client.unary.with_call(b'abc', metadata=[('x-who', 'me')])
say(reply, dict(call.initial_metadata())['x-first'], [tuple(pair) for pair in call.trailing_metadata()])
say(hash(client.unary(b'x' * (8 << 20), metadata=[('x-who', 'large')])) == hash(b'x' * (8 << 20)))
replies = list(client.server_stream(b'n'))
say(len(replies), replies[-1])
say(client.client_stream(b'y' * 10000 for n in range(500)))
# Each message is sent when the reply to the one before has come.
sent = queue.SimpleQueue()
call = client.both(iter(sent.get, None))
for word in (b'one', b'two', b'three'):
    sent.put(word)
    say(next(call))
sent.put(None)
say(list(call), call.code())";
    let (program, origin) = like_direct(origin, program)?;
    ensure!(
        program
            == "b'cba' 1 [('x-last', '2'), ('x-bytes-bin', b'\\x00\\xff')]\nTrue\n500 b'n499'\nb'5000000'\nb'ONE'\nb'TWO'\n\
                b'THREE'\n[] StatusCode.OK\n"
            && origin == "asked with me\nasked with large\n",
        "{program}{origin}"
    );
    Ok(())
}

#[test]
fn a_deadline_passes_at_the_program_and_cancels_at_the_origin() -> Result<()> {
    let origin = "
def unary(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    left = context.time_remaining()
    say('knows its deadline', 0 < left < 1, 'is cancelled', ended.wait(10))
    return b''
def server_stream(request, context):
    yield b'one'
    unary(request, context)
serve(unary, server_stream)";
    let program = "
client = Client()
began = time.monotonic()
say(outcome(lambda: client.unary(b'', timeout=0.7)), 0.6 < time.monotonic() - began < 2)
call = client.server_stream(b'', timeout=0.7)
say(next(call), outcome(lambda: next(call)))";
    let (program, origin) = like_direct(origin, program)?;
    ensure!(
        program == "DEADLINE_EXCEEDED Deadline Exceeded True\nb'one' DEADLINE_EXCEEDED Deadline Exceeded\n"
            && origin.matches("knows its deadline True is cancelled True").count() == 2,
        "{program}{origin}"
    );
    Ok(())
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_origin() -> Result<()> {
    let origin = "
def both(requests, context):
    context.add_callback(lambda: say('ended'))
    while True:
        yield b'more'
        time.sleep(0.05)
serve(both=both)";
    let program = "
client = Client()
sent = queue.SimpleQueue()
call = client.both(iter(sent.get, None))
say(next(call))
call.cancel()
say(outcome(lambda: next(call)))
sent.put(None)";
    let (program, origin) = like_direct(origin, program)?;
    ensure!(program.starts_with("b'more'\nCANCELLED") && origin == "ended\n", "{program}{origin}");
    Ok(())
}

#[test]
fn every_status_passes_with_its_details() -> Result<()> {
    let origin = "
codes = {code.value[0]: code for code in StatusCode}
def unary(request, context):
    context.abort(codes[int(request)], 'detail of ' + request.decode() + ' with 100% \u{e9}')
def server_stream(request, context):
    yield b'one'
    context.abort(codes[int(request)], 'after the first')
serve(unary, server_stream)";
    let program = "
client = Client()
for code in range(1, 17):
    say(outcome(lambda: client.unary(b'%d' % code)))
    call = client.server_stream(b'%d' % code)
    say(next(call), outcome(lambda: next(call)))
say(outcome(lambda: client.channel.unary_unary('/T/Missing')(b'')))";
    let (program, _) = like_direct(origin, program)?;
    ensure!(
        program.contains("UNAVAILABLE detail of 14 with 100% \u{e9}\nb'one' UNAVAILABLE after the first"),
        "{program}"
    );
    ensure!(program.contains("UNIMPLEMENTED"), "{program}");
    Ok(())
}

#[test]
fn a_hundred_calls_at_a_time_share_a_connection() -> Result<()> {
    let origin = "
peers = set()
def unary(request, context):
    peers.add(context.peer())
    time.sleep(0.05)
    return request + b' %d' % len(peers)
serve(unary)";
    let program = "
client = Client()
calls = [client.unary.future(b'%d' % n) for n in range(100)]
say([call.result() for call in calls] == [b'%d 1' % n for n in range(100)])";
    let (program, _) = like_direct(origin, program)?;
    ensure!(program == "True\n", "{program}");
    Ok(())
}

/// Of a stream of small messages many wait for a slow reader; that is not an attack.
#[test]
fn many_small_messages_wait_for_a_slow_reader() -> Result<()> {
    let origin = "
def server_stream(request, context):
    return (b'%d' % n for n in range(20000))
serve(server_stream=server_stream)";
    let program = "
client = Client()
calls = [client.server_stream(b'') for n in range(5)]
firsts = [next(call) for call in calls]
time.sleep(1)
say(firsts, [len(list(call)) for call in calls])";
    let (program, _) = like_direct(origin, program)?;
    ensure!(program.contains("[19999, 19999, 19999, 19999, 19999]"), "{program}");
    Ok(())
}

#[test]
fn an_origin_that_dies_is_unavailable() -> Result<()> {
    // It dies when the program has taken the first message: grpc may drop one that it meets together with a reset.
    let origin = "
def both(requests, context):
    next(requests)
    yield b'one'
    next(requests)
    sys.stdout.flush()
    os._exit(0)
serve(both=both)";
    let program = "
client = Client()
sent = queue.SimpleQueue()
call = client.both(iter(sent.get, None))
sent.put(b'begin')
say(next(call))
sent.put(b'die')
say(outcome(lambda: next(call)).split()[0])
sent.put(None)
say(outcome(lambda: client.unary(b'')).split()[0])";
    let (program, _) = like_direct(origin, program)?;
    ensure!(program == "b'one'\nUNAVAILABLE\nUNAVAILABLE\n", "{program}");
    Ok(())
}
