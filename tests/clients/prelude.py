# SPDX-License-Identifier: Apache-2.0
"""What the Python programs of the truthful suites have in common: destinations, ways to dial, and one line per case.

It knows nothing of ambassador. A line is `CASE RESULT MILLISECONDS`; RESULT is `connected`, the name of an errno, or
`own-timeout` where the program itself gave up.
"""
import asyncio, errno, itertools, os, select, socket, struct, sys, time

OPEN, CLOSED = 7000, 7001
PLACES = {
    "open": ("10.77.0.2", OPEN), "open6": ("fd77::2", OPEN),
    "closed": ("10.77.0.2", CLOSED), "closed6": ("fd77::2", CLOSED),
    "unreachable": ("10.91.0.1", OPEN), "unreachable6": ("fd91::1", OPEN),
    "no-route": ("192.0.2.1", OPEN), "no-route6": ("2001:db8::1", OPEN),
    "prohibited": ("10.92.0.1", OPEN), "prohibited6": ("fd92::1", OPEN),
    "discarded": ("10.93.0.1", OPEN), "discarded6": ("fd93::1", OPEN),
    "no-neighbour": ("10.77.0.8", OPEN), "no-neighbour6": ("fd77::8", OPEN),
    "black-hole": ("10.77.0.9", OPEN), "black-hole6": ("fd77::9", OPEN),
}
TCP_FASTOPEN_CONNECT, IPPROTO_MPTCP = 30, 262

PORTS = itertools.count(46001)

def family_of(address):
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET

def named(number):
    return errno.errorcode.get(number, str(number))

def say(case, work):
    """Runs `work` and prints how it ended and after how long."""
    start = time.monotonic()
    try:
        result = work() or "connected"
    except OSError as error:
        result = named(error.errno) if error.errno else "own-timeout"
    # One call, so that the lines of threads do not mix.
    sys.stdout.write("%s %s %.1f\n" % (case, result, (time.monotonic() - start) * 1000))
    sys.stdout.flush()
    return result

def check_peer(s, address):
    """The server says first at which address it was reached."""
    s.settimeout(5)
    reached = s.makefile().readline().split()
    want = [address[0].replace("::ffff:", ""), str(address[1])]
    return None if reached == want else "wrong-peer-%s" % reached

def finish_nonblocking(s, address, timeout, wait):
    s.setblocking(False)
    code = s.connect_ex(address)
    if code == errno.EINPROGRESS:
        if not wait(s, timeout):
            return "own-timeout"
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return named(code) if code else check_peer(s, address)

def wait_epoll(s, timeout):
    with select.epoll() as epoll:
        epoll.register(s.fileno(), select.EPOLLOUT | select.EPOLLET)
        return epoll.poll(timeout)

def wait_poll(s, timeout):
    poll = select.poll()
    poll.register(s.fileno(), select.POLLOUT)
    return poll.poll(timeout * 1000)

def wait_select(s, timeout):
    return select.select([], [s], [], timeout)[1]

def connected(s, address, timeout):
    s.settimeout(timeout)
    s.connect(address)
    return check_peer(s, address)

def dial(way, address, timeout=None, syncnt=None):
    """One connect of this kind; `timeout` is the program's own."""
    family, protocol = family_of(address), 0
    if way == "mapped":
        family, address = socket.AF_INET6, ("::ffff:" + address[0], address[1])
    if way.startswith("mptcp"):
        protocol = IPPROTO_MPTCP
    with socket.socket(family, socket.SOCK_STREAM, protocol) as s:
        if syncnt:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, syncnt)
        if way in ("epoll", "mptcp-epoll"):
            return finish_nonblocking(s, address, timeout or 5, wait_epoll)
        if way == "poll":
            return finish_nonblocking(s, address, timeout or 5, wait_poll)
        if way == "select":
            return finish_nonblocking(s, address, timeout or 5, wait_select)
        if way == "bound":
            s.bind(("fd77::1" if family == socket.AF_INET6 else "10.77.0.1", 0))
        if way == "bound-port":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("fd77::1" if family == socket.AF_INET6 else "10.77.0.1", next(PORTS)))
        if way == "fastopen-connect":
            s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            s.settimeout(timeout)
            s.connect(address)
            s.sendall(b"hello\n")
            return check_peer(s, address)
        if way == "fastopen-send":
            s.setblocking(timeout is None)
            try:
                s.sendto(b"hello\n", socket.MSG_FASTOPEN, address)
            except BlockingIOError:
                if not wait_poll(s, timeout):
                    return "own-timeout"
                code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    return named(code)
            return check_peer(s, address)
        return connected(s, address, timeout)
