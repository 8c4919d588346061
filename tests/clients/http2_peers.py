# SPDX-License-Identifier: Apache-2.0
"""Frames of HTTP/2, written and read one by one: what the programs and the origins of the HTTP/2 suites are made of.

It is no HTTP/2 library: it acknowledges SETTINGS and PING, gives credit for what it reads, and leaves everything else
to the script, so that a script may also break the protocol. It knows nothing of ambassador.
"""
import collections, contextlib, hashlib, os, socket, struct, sys, threading, time
from hpack import Decoder, Encoder
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
                              PriorityFrame, PushPromiseFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame)

ADDRESS = ("10.77.0.2", 8080)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, CALM = 0, 1, 2, 7, 8, 11

class Ended(Exception):
    """The other side has ended the connection: `fin` or `reset`."""

class Connection:
    def __init__(self, sock, settings=None, credit=True, serving=False):
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.buffer, self.credit, self.serving = sock, b"", credit, serving
        self.encoder, self.decoder = Encoder(), Decoder(max_header_list_size=1 << 22)
        self.windows, self.initial, self.waiting = collections.defaultdict(int), 65535, collections.deque()
        self.connection_window, self.theirs, self.abort = 65535, {}, False
        self.send(SettingsFrame(0, settings=settings or {}))

    def send(self, *frames):
        self.sock.sendall(b"".join(frame.serialize() for frame in frames))

    @contextlib.contextmanager
    def together(self):
        """What is sent within goes out in one piece."""
        sent, self.send = [], lambda *frames: sent.extend(frames)
        yield
        del self.send
        self.send(*sent)

    def headers(self, stream, fields, end=False, block=None):
        block = self.encoder.encode(fields, huffman=False) if block is None else block
        pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)] or [b""]
        frames = [HeadersFrame(stream, pieces[0])]
        frames += [ContinuationFrame(stream, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        if end:
            frames[0].flags.add("END_STREAM")
        self.send(*frames)

    def data(self, stream, data=b"", end=False):
        """Sends without asking for credit."""
        frame = DataFrame(stream, data)
        if end:
            frame.flags.add("END_STREAM")
        self.send(frame)

    def body(self, stream, data, end=True):
        """Sends as the other side gives credit, and puts aside what arrives meanwhile."""
        at = 0
        while at < len(data):
            room = min(self.initial + self.windows[stream], self.connection_window, 16384, len(data) - at)
            if room > 0:
                self.data(stream, data[at:at + room], end and at + room == len(data))
                self.windows[stream] -= room
                self.connection_window -= room
                at += room
            else:
                frame = self.read()
                if not isinstance(frame, (WindowUpdateFrame, SettingsFrame)):
                    self.waiting.append(frame)
        if not data and end:
            self.data(stream, b"", True)

    def reset(self, stream, code):
        self.send(RstStreamFrame(stream, error_code=code))

    def goaway(self, last, code=NO_ERROR):
        self.send(GoAwayFrame(0, last_stream_id=last, error_code=code))

    def ping(self, word):
        self.send(PingFrame(0, word))

    def window(self, stream, size):
        self.send(WindowUpdateFrame(stream, window_increment=size))

    def next(self):
        """The next frame that is not of the connection's own housekeeping."""
        while True:
            frame = self.waiting.popleft() if self.waiting else self.read()
            leaving = self.serving and isinstance(frame, GoAwayFrame)
            if not leaving and not isinstance(frame, (WindowUpdateFrame, SettingsFrame, PriorityFrame)):
                return frame

    def read(self):
        head = self.take(9)
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(self.take(length)))
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.theirs.update(frame.settings)
            self.initial = self.theirs.get(SettingsFrame.INITIAL_WINDOW_SIZE, 65535)
            self.reply(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.reply(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, WindowUpdateFrame):
            if frame.stream_id:
                self.windows[frame.stream_id] += frame.window_increment
            else:
                self.connection_window += frame.window_increment
        elif isinstance(frame, (HeadersFrame, PushPromiseFrame)):
            block, last = frame.data, frame
            while "END_HEADERS" not in last.flags:
                last = self.read()
                block += last.data
            frame.fields = self.decoder.decode(block, raw=True)
        elif isinstance(frame, DataFrame) and frame.flow_controlled_length and self.credit:
            grants = [0] if "END_STREAM" in frame.flags else [0, frame.stream_id]
            size = frame.flow_controlled_length
            self.reply(*(WindowUpdateFrame(stream, window_increment=size) for stream in grants))
        return frame

    def reply(self, *frames):
        """Sends housekeeping. What has been sent to us is read although the other side is gone."""
        try:
            self.send(*frames)
        except OSError:
            pass

    def take(self, count):
        while len(self.buffer) < count:
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionResetError:
                raise Ended("reset")
            if not more:
                raise Ended("fin")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def message(self, stream):
        """What comes on `stream` until its end: interim heads, head, body, trailers, and how it ended."""
        told, others = Message(), collections.deque()
        while not told.end:
            try:
                frame = self.next()
            except Ended as ended:
                told.end = "connection " + str(ended)
                break
            if frame.stream_id == stream:
                told.take(frame)
            elif not isinstance(frame, (PingFrame, GoAwayFrame)):
                others.append(frame)
        self.waiting = others + self.waiting
        return told

    def pong(self):
        """The answer to our PING; what else comes is put aside."""
        others = collections.deque()
        while True:
            frame = self.next()
            if isinstance(frame, PingFrame):
                if "ACK" in frame.flags:
                    self.waiting = others + self.waiting
                    return frame.opaque_data
            else:
                others.append(frame)

    def tear(self):
        """Makes the end of the connection a RST."""
        self.abort = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def finish(self):
        """Reads to the end of the connection and says how it was."""
        try:
            while True:
                self.read()
        except Ended as ended:
            return str(ended)

class Message:
    def __init__(self):
        self.interim, self.head, self.body, self.trailers, self.end = [], None, b"", None, None

    def take(self, frame):
        if isinstance(frame, HeadersFrame):
            status = dict(frame.fields).get(b":status", b"200")
            if self.head is not None:
                self.trailers = frame.fields
            elif status.startswith(b"1"):
                self.interim.append(frame.fields)
            else:
                self.head = frame.fields
        elif isinstance(frame, DataFrame):
            self.body += frame.data
        elif isinstance(frame, RstStreamFrame):
            self.end = "reset %d" % frame.error_code
        if "END_STREAM" in frame.flags:
            self.end = "end"

    def status(self):
        return dict(self.head or {}).get(b":status", b"none").decode()

    def __str__(self):
        words = ["interim [%s]" % shown(head) for head in self.interim]
        words.append("head [%s]" % shown(self.head) if self.head is not None else "no head")
        body = self.body if len(self.body) < 80 else hashlib.sha256(self.body).hexdigest().encode()
        words.append("body %d %s" % (len(self.body), repr(body)[1:]))
        if self.trailers is not None:
            words.append("trailers [%s]" % shown(self.trailers))
        return " ".join(words + [str(self.end)])

def shown(fields):
    return ", ".join(repr(name)[2:-1] + ": " + repr(value)[2:-1] for name, value in fields)

def say(*words):
    # One call, so that the lines of threads do not mix.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()

def dial(settings=None, **options):
    sock = socket.create_connection(ADDRESS, 20)
    sock.sendall(PREFACE)
    return Connection(sock, settings, **options)

def request(path="/", method="GET", *more):
    return [(":method", method), (":scheme", "http"), (":authority", "origin.example"), (":path", path), *more]

def serve(talk, settings=None, **options):
    """Gives each connection and its number to `talk` on a thread of its own, until stdin ends."""
    listener = socket.create_server(ADDRESS, backlog=1024)
    threads = []

    def one(sock, number):
        with sock:
            received = b""
            try:
                while len(received) < len(PREFACE):
                    more = sock.recv(len(PREFACE) - len(received))
                    if not more:
                        return
                    received += more
                connection = Connection(sock, settings, serving=True, **options)
                talk(connection, number)
                if not connection.abort:
                    # Whatever still comes is read: unread bytes would turn the FIN into a RST.
                    sock.shutdown(socket.SHUT_WR)
                    connection.finish()
            except (Ended, OSError):
                pass

    def accept():
        number = 0
        while True:
            sock, _ = listener.accept()
            thread = threading.Thread(target=one, args=(sock, number), daemon=True)
            # Who waits for all of them must not meet one that has not begun.
            thread.start()
            threads.append(thread)
            number += 1

    threading.Thread(target=accept, daemon=True).start()
    say("ready")
    sys.stdin.read()
    for thread in threads:
        thread.join(5)
    sys.stdout.flush()
    os._exit(0)

def serve_raw(talk):
    """Gives each connection to `talk`, one after the other, as a socket of which nothing has been read, until stdin
    ends."""
    listener = socket.create_server(ADDRESS, backlog=8)

    def accept():
        while True:
            talk(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    say("ready")
    sys.stdin.read()

def answer_all(c, number):
    """Answers every request without a body."""
    while True:
        frame = c.next()
        if isinstance(frame, HeadersFrame):
            answer(c, frame.stream_id)

def answer(connection, stream, status="200", body=b"", fields=()):
    connection.headers(stream, [(":status", status), *fields], end=not body)
    if body:
        connection.body(stream, body)
