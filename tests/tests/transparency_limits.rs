// SPDX-License-Identifier: Apache-2.0
//! What a program or its server can still notice: every difference that `docs/transparency.md` names, proven to be
//! there.
//!
//! A test that fails here because both runs are equal is good news: the page then says too much.

use std::io::{Read, Write};
use std::time::Duration;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Destinations, Link, Namespace, Process, TcpPeer, comparison, wait};
use anyhow::{Result, ensure};

/// Runs `script` both ways; each must print its own text.
fn check(namespace: &Namespace, script: &str, direct: &str, under: &str) -> Result<()> {
    let printed = comparison::printed(&Ambassador::run("-q")?, namespace, script)?;
    ensure!(printed == [direct, under], "directly and under ambassador: {printed:?}");
    Ok(())
}

/// One of the two runs of a program that is driven step by step.
#[derive(Clone, Copy, Debug)]
enum Run {
    Direct,
    Under,
}

impl Run {
    fn start(self, client: &Namespace, ambassador: &Ambassador, program: &[String]) -> Result<Process> {
        match self {
            Self::Direct => Process::spawn(client.command(&program[0]).args(&program[1..])),
            Self::Under => ambassador.spawn(client, program),
        }
    }
}

fn nth_line(process: &Process, nth: usize) -> Option<String> {
    process.stdout().lines().nth(nth).map(str::to_owned)
}

#[test]
fn a_nonblocking_connect_without_a_route_fails_a_moment_later() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
s = socket.socket()
s.setblocking(False)
first = s.connect_ex(PLACES['unreachable'])
wait_poll(s, 5)
print(named(first), named(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
";
    check(&destinations.link.client, script, "EHOSTUNREACH 0", "EINPROGRESS EHOSTUNREACH")
}

#[test]
fn a_port_that_the_program_bound_is_not_the_one_that_the_server_sees() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7600), |mut stream, _| {
        Ok(writeln!(stream, "{}", stream.peer_addr()?.port())?)
    })?;
    let script = "
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('10.77.0.1', 46600))
s.connect(('10.77.0.2', 7600))
print(int(s.makefile().readline()) == s.getsockname()[1])
";
    check(&link.client, script, "True", "False")
}

/// The listeners are fewer than the destinations, so two of them can share one, and with it a port's past.
#[test]
fn a_bound_port_serves_fewer_destinations_in_turn() -> Result<()> {
    let link = Link::new()?;
    let _servers = (7610..7640)
        .map(|port| {
            TcpPeer::start(&link.server, Link::v4(port), |mut stream, _| {
                std::io::copy(&mut stream, &mut std::io::sink())?;
                Ok(())
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let script = "
results = set()
for port in range(7610, 7640):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('10.77.0.1', 46610))
    results.add(named(s.connect_ex(('10.77.0.2', port))))
    s.close()
print(*sorted(results))
";
    check(&link.client, script, "0", "0 EADDRNOTAVAIL")
}

#[test]
fn what_the_kernel_tells_of_the_path_is_that_of_loopback() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7601), |mut stream, _| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })?;
    let script = "
s = socket.create_connection(('10.77.0.2', 7601))
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) > 2000, s.getsockopt(socket.IPPROTO_IP, 14) > 2000)
";
    check(&link.client, script, "False False", "True True")
}

/// What a program has sent is taken by the proxy, so its own timers do not see the network behind it.
#[test]
fn a_network_that_dies_is_not_seen_by_the_timers_of_the_socket() -> Result<()> {
    let script = "
import fcntl, termios
TCP_USER_TIMEOUT, queued = 18, '?'
s = socket.create_connection(('10.77.0.2', 7602))
s.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 500)
s.settimeout(4)
print('up', flush=True)
input()
try:
    s.sendall(b'x')
    time.sleep(0.2)
    # SIOCOUTQ
    queued = struct.unpack('i', fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]
    s.recv(1)
except OSError as error:
    print(queued, named(error.errno) if error.errno else 'own-timeout', flush=True)
";
    let program = comparison::python(script);
    for (run, want) in [(Run::Direct, "1 ETIMEDOUT"), (Run::Under, "0 own-timeout")] {
        let link = Link::new()?;
        let _server = TcpPeer::start(&link.server, Link::v4(7602), |mut stream, _| {
            std::io::copy(&mut stream, &mut std::io::sink())?;
            Ok(())
        })?;
        let ambassador = Ambassador::run("-q")?;
        let mut process = run.start(&link.client, &ambassador, &program)?;
        wait::until("the connection", SOON, || Ok(nth_line(&process, 0)))?;
        link.server.ip(&format!("addr del 10.77.0.2/24 dev {}", Link::DEVICE))?;
        process.say("")?;
        let told = wait::until("the end", SOON, || Ok(nth_line(&process, 1)))?;
        ensure!(told == want, "{run:?}: {told}");
    }
    Ok(())
}

/// A program that is both ends sees that its bytes are on their way.
#[test]
fn what_one_end_sends_is_at_the_other_a_moment_later() -> Result<()> {
    let link = Link::new()?;
    let script = "
import select
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
at_once = 0
for _ in range(300):
    client.sendall(b'x')
    at_once += bool(select.select([server], [], [], 0)[0])
    server.recv(1)
print(at_once == 300)
";
    let program = comparison::python(script);
    let mut direct = link.client.command(&program[0]);
    let direct = Process::run(direct.args(&program[1..]), LONG)?.expect_success()?;
    ensure!(direct.text().trim() == "True", "direct: {}", direct.text());
    let ambassador = Ambassador::with_policy("-q", "version: v1\nintercept: {loopback: true}\n")?;
    let under = ambassador.output(&link.client, &program)?.expect_success()?;
    ensure!(under.text().trim() == "False", "under ambassador: {}{}", under.text(), under.errors());
    Ok(())
}

/// A server that speaks Multipath TCP meets TCP.
#[test]
fn multipath_tcp_ends_at_ambassador() -> Result<()> {
    let link = Link::new()?;
    let server = "
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
listener.bind(('10.77.0.2', 7605))
listener.listen()
print('listening', flush=True)
while True:
    listener.accept()[0].recv(1)
";
    let server = comparison::python(server);
    let mut server = Process::spawn(link.server.command(&server[0]).args(&server[1..]))?;
    server.until_stdout("listening", SOON)?;
    let script = "
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
s.connect(('10.77.0.2', 7605))
try:
    # MPTCP_INFO
    s.getsockopt(284, 1, 256)
    print('multipath')
except OSError as error:
    print(named(error.errno))
";
    check(&link.client, script, "multipath", "ENOTSUP")
}

/// A server that bounds the time of heads does not see that one has begun.
#[test]
fn a_head_arrives_when_it_is_whole() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7605), |mut stream, _| {
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        let begun = stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0);
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        if !begun {
            ensure!(stream.read(&mut [0; 4096])? > 0, "the head never came");
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{}",
            u8::from(begun)
        )?;
        Ok(())
    })?;
    let script = r"
import time
s = socket.create_connection(('10.77.0.2', 7605))
s.sendall(b'GET / HTTP/1.1\r\nHost: ')
time.sleep(1)
s.sendall(b'a\r\n\r\n')
print(s.makefile().read()[-1])
";
    check(&link.client, script, "1", "0")
}

/// A destination that accepted a moment ago is believed to accept again, until the first failure.
#[test]
fn a_connect_soon_after_a_success_may_succeed_in_vain() -> Result<()> {
    let link = Link::new()?;
    let script = "
def dial():
    s = socket.socket()
    s.settimeout(5)
    result = named(s.connect_ex(('10.77.0.2', 7604)))
    if result == '0':
        try:
            s.recv(1)
        except OSError as error:
            result += '+' + named(error.errno)
    return result
first = dial()
print(first, flush=True)
input()
print(dial(), dial(), flush=True)
";
    let program = comparison::python(script);
    for (run, want) in [(Run::Direct, "ECONNREFUSED ECONNREFUSED"), (Run::Under, "0+ECONNRESET ECONNREFUSED")]
    {
        let mut server = TcpPeer::start(&link.server, Link::v4(7604), |_, _| Ok(()))?;
        let ambassador = Ambassador::run("-q")?;
        let mut process = run.start(&link.client, &ambassador, &program)?;
        wait::until("the first connection", SOON, || Ok(nth_line(&process, 0)))?;
        server.refuse();
        process.say("")?;
        let told = wait::until("the others", SOON, || Ok(nth_line(&process, 1)))?;
        ensure!(told == want, "{run:?}: {told}");
    }
    Ok(())
}

/// Whoever looks at the kernel's table of connections sees the listener.
#[test]
fn the_table_of_connections_shows_the_listener() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7605), |mut stream, _| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })?;
    let script = "
s = socket.create_connection(('10.77.0.2', 7605))
inode = str(os.fstat(s.fileno()).st_ino)
rows = [line.split() for line in open('/proc/net/tcp')]
print([bytes.fromhex(row[2][:8])[::-1][0] for row in rows if inode in row])
";
    check(&link.client, script, "[10]", "[127]")
}

const SOON: Duration = Duration::from_secs(15);
