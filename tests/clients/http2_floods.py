# SPDX-License-Identifier: Apache-2.0
"""Floods of HTTP/2 frames, from a program and from an origin. Each lasts SECONDS, with a new connection whenever one is
ended. It knows nothing of ambassador, and honours no limit of its peer.
"""
import itertools

SECONDS = 1
HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 1, 2, 3, 4, 5, 6, 7, 8, 9
# GET, http, /, :authority a: without the dynamic table, so that it can be repeated.
GET = b"\x82\x86\x84\x01\x01a"
POST = b"\x83\x86\x84\x01\x01a"
OK = b"\x88"
FIELD = b"\x00\x01a\x01b"
LARGE_FIELD = b"\x40\x01a\x7f" + b"\xa1\x1e" + b"y" * 4000  # into the dynamic table: 127 + 0x21 + 0x1e * 128
AGAIN = b"\xbe"  # the newest entry of the dynamic table
NEW_FIELD = b"\x40\x01a\x01b"  # into the dynamic table
FIELDS = NEW_FIELD + AGAIN * 1849  # just below 64 KiB, by the reckoning of RFC 9113 6.5.2
LONG_FIELDS = (b"\x00\x01a\x7f" + b"\xcd\x02" + b"y" * 460) * 120  # 127 + 0x4d + 2 * 128

def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

def streams(pieces_of, count=300):
    """Pieces of `count` streams each, with rising numbers."""
    for first in range(1, 1 << 30, 2 * count):
        yield b"".join(pieces_of(stream) for stream in range(first, first + 2 * count, 2))

def again(piece):
    return itertools.repeat(piece * max(1, 60000 // len(piece)))

def large(stream):
    return frame(HEADERS, 5, stream, LARGE_FIELD + AGAIN * 10000)

def replied(*rest):
    return itertools.chain([frame(HEADERS, 4, 1, OK)], *rest)

PROGRAM = {
    "rapid-reset": lambda: streams(lambda n: frame(HEADERS, 5, n, GET) + frame(RST, 0, n, b"\0\0\0\x08")),
    "made-you-reset": lambda: streams(lambda n: frame(HEADERS, 5, n, GET) + frame(WINDOW, 0, n, b"\x7f\xff\xff\xff")),
    "made-you-reset-by-data": lambda: streams(lambda n: frame(HEADERS, 5, n, GET) + frame(0, 0, n, b"x")),
    "streams": lambda: streams(lambda n: frame(HEADERS, 5, n, GET)),
    "continuation": lambda: itertools.chain([frame(HEADERS, 1, 1, GET)], again(frame(CONTINUATION, 0, 1, FIELD * 3000))),
    "empty-continuation": lambda: itertools.chain([frame(HEADERS, 1, 1, GET)], again(frame(CONTINUATION, 0, 1))),
    "settings": lambda: again(frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64" * 6)),
    "ping": lambda: again(frame(PING, 0, 0, b"12345678")),
    "priority": lambda: streams(lambda n: frame(PRIORITY, 0, n, b"\0\0\0\0\x10")),
    "window": lambda: again(frame(WINDOW, 0, 0, b"\0\0\0\x01")),
    "hpack": lambda: streams(lambda n: frame(HEADERS, 5, n, GET + LARGE_FIELD + AGAIN * 10000), 5),
    "fields": lambda: streams(lambda n: frame(HEADERS, 5, n, GET + FIELDS)),
    "empty-data": lambda: itertools.chain([frame(HEADERS, 4, 1, POST)], again(frame(0, 0, 1))),
    "tiny-data": lambda: itertools.chain([frame(HEADERS, 4, 1, POST)], again(frame(0, 0, 1, b"x"))),
    "padded-data": lambda: itertools.chain([frame(HEADERS, 4, 1, POST)], again(frame(0, 8, 1, b"\xff" + bytes(255)))),
}

ORIGIN = {
    "settings": lambda: PROGRAM["settings"](),
    "ping": lambda: PROGRAM["ping"](),
    "window": lambda: PROGRAM["window"](),
    "continuation": lambda: itertools.chain([frame(HEADERS, 0, 1, OK)], again(frame(CONTINUATION, 0, 1, FIELD * 3000))),
    "hpack": lambda: again(frame(HEADERS, 4, 1, OK + LARGE_FIELD + AGAIN * 10000)),
    "interim": lambda: again(frame(HEADERS, 4, 1, b"\x08\x03103" + FIELD)),
    "empty-data": lambda: replied(again(frame(0, 0, 1))),
    "tiny-data": lambda: replied(again(frame(0, 0, 1, b"x"))),
    "trailers": lambda: replied(again(frame(HEADERS, 4, 1, FIELD))),
    "push": lambda: streams(lambda n: frame(PUSH, 4, 1, (n + 1).to_bytes(4, "big") + GET)),
    "goaway": lambda: again(frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0" + b"d" * 5000)),
    "reset": lambda: again(frame(RST, 0, 1, b"\0\0\0\x08")),
    "unknown": lambda: again(frame(0xee, 0xff, 1, b"?" * 5000)),
}

def pour(sock, pieces, until, away=threading.Event()):
    """Sends until the other side ends the connection, says that it does (`away`), or takes nothing for a while, or the
    time is over."""
    sent = 0
    sock.settimeout(0.3)
    try:
        for piece in pieces:
            if away.is_set() or time.monotonic() > until:
                break
            sock.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent

def hear(sock, over, away, heard):
    """Notes every RST_STREAM and GOAWAY, until the connection ends, or is quiet and it is `over`."""
    buffer = b""
    while True:
        while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
            size, kind = int.from_bytes(buffer[:3], "big"), buffer[3]
            if kind in (RST, GOAWAY):
                at = 9 if kind == RST else 13
                heard["reset" if kind == RST else "goaway", int.from_bytes(buffer[at:at + 4], "big")] += 1
                if kind == GOAWAY:
                    away.set()
            buffer = buffer[9 + size:]
        if away.is_set():
            return
        try:
            more = sock.recv(1 << 16)
        except TimeoutError:
            if over.is_set():
                return
            continue
        except OSError:
            return
        if not more:
            return
        buffer += more

def flood(name):
    """The program's side: comes again whenever it is sent away. Tells how much it sent, and what it was told."""
    until, sent, connections, heard = time.monotonic() + SECONDS, 0, 0, collections.Counter()
    while time.monotonic() < until:
        with socket.create_connection(ADDRESS, 5) as sock:
            connections += 1
            over, away = threading.Event(), threading.Event()
            listener = threading.Thread(target=hear, args=(sock, over, away, heard))
            try:
                sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
            except OSError:
                continue
            sock.settimeout(0.3)
            listener.start()
            sent += pour(sock, PROGRAM[name](), until, away)
            over.set()
            listener.join()
    words = ("%s %d x %d" % (*word, count) for word, count in sorted(heard.items()))
    say(name, sent > 50000, sent >> 10, "KiB", connections, "connections,", ", ".join(words))

def stall(connections, streams_each):
    """Asks for large replies and gives no credit."""
    held = []
    for _ in range(connections):
        sock = socket.create_connection(ADDRESS, 5)
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0")
                     + b"".join(frame(HEADERS, 5, 1 + 2 * n, GET) for n in range(streams_each)))
        held.append(sock)
    time.sleep(SECONDS)
    say("stall", len(held) == connections)

def head(flags, stream, block):
    """A head, in as many frames as it needs."""
    pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
    return (frame(HEADERS, flags & ~4 if pieces[1:] else flags, stream, pieces[0])
            + b"".join(frame(CONTINUATION, 4 if at == len(pieces) - 1 else 0, stream, piece)
                       for at, piece in enumerate(pieces) if at))

HELD = {
    "long-heads": lambda n: head(5, n, GET + LONG_FIELDS),
    "trailers": lambda n: head(4, n, POST) + head(5, n, FIELDS),
    "long-trailers": lambda n: head(4, n, POST) + head(5, n, LONG_FIELDS),
}

def hold(name, connections, streams_each):
    """Asks for more than its origin answers. Tells what it was told."""
    heard, threads, over, held = collections.Counter(), [], threading.Event(), []
    for _ in range(connections):
        sock = socket.create_connection(ADDRESS, 5)
        sock.settimeout(1)
        held.append(sock)
        threads.append(threading.Thread(target=hear, args=(sock, over, threading.Event(), heard)))
        threads[-1].start()
    for n in range(1, 2 * streams_each, 2):
        for sock in held:
            try:
                sock.sendall((PREFACE + frame(SETTINGS, 0, 0) if n == 1 else b"") + HELD[name](n))
            except OSError:
                pass
    time.sleep(SECONDS)
    over.set()
    for thread in threads:
        thread.join()
    words = ("%s %d x %d" % (*word, count) for word, count in sorted(heard.items()))
    say(name, len(held) == connections, ", ".join(words))

def unread(connections, streams_each):
    """Asks, gives all the credit that there is, and reads nothing."""
    held = []
    for _ in range(connections):
        sock = socket.create_connection(ADDRESS, 5)
        sock.settimeout(1)
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff") + frame(WINDOW, 0, 0, b"\x7f\xff\0\0")
                     + b"".join(frame(HEADERS, 5, 1 + 2 * n, GET) for n in range(streams_each)))
        held.append(sock)
    time.sleep(2 * SECONDS)
    say("unread", len(held) == connections)

def flooded(name):
    """The program of an origin that floods: asks, takes what comes, and asks again."""
    until, got, connections = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < until:
        with socket.create_connection(ADDRESS, 5) as sock:
            connections += 1
            sock.settimeout(0.3)
            try:
                sock.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 5, 1, GET + b"\x00\x04kind"
                             + bytes([len(name)]) + name.encode()))
                while time.monotonic() < until:
                    more = sock.recv(1 << 16)
                    if not more:
                        break
                    got += len(more)
            except OSError:
                pass
    say(name, connections > 0, got >> 10, "KiB", connections, "connections")

def flooding_origin():
    def talk(c, number):
        kind = dict(c.next().fields)[b"kind"].decode()
        c.abort = True
        sent = pour(c.sock, ORIGIN[kind](), time.monotonic() + SECONDS)
        # Some are ended by the first piece, of a few KiB; then they come again.
        say(kind, "poured", sent > 5000, sent >> 10, "KiB")
    serve(talk)

def stalled_origin():
    """Answers every request with a body for which it has credit."""
    def talk(c, number):
        while True:
            frame = c.next()
            if isinstance(frame, HeadersFrame) and c.connection_window > 70000:
                c.headers(frame.stream_id, [(":status", "200")])
                c.body(frame.stream_id, b"x" * 65535)
    serve(talk)

def silent_origin():
    """Takes one stream at a time, and answers none."""
    serve(lambda c, number: c.finish(), {SettingsFrame.MAX_CONCURRENT_STREAMS: 1})

def generous_origin(name):
    """Answers every request with much, as it has credit."""
    piece, cost = GENEROUS[name]
    def talk(c, number):
        while True:
            frame = c.next()
            if isinstance(frame, HeadersFrame):
                c.sock.sendall(piece(frame.stream_id))
                c.connection_window -= cost
                while c.connection_window < cost:
                    c.waiting.append(c.read())
    serve(talk)

GENEROUS = {
    "heads": (lambda n: frame(HEADERS, 4, n, OK + FIELDS), 0),
    "trailers": (lambda n: frame(HEADERS, 4, n, OK) + frame(0, 0, n, b"x") + frame(HEADERS, 5, n, FIELDS), 1),
    "bodies": (lambda n: frame(HEADERS, 4, n, OK) + frame(0, 0, n, b"x" * 16000) * 4, 64000),
}
