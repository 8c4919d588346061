// SPDX-License-Identifier: Apache-2.0
//! What a program's own sockets tell of the network, and what its surroundings tell of ambassador: the differences that
//! `docs/transparency.md` names, proven to be there.

use std::io::Write;
use std::time::Duration;

use ambassador_tests::{Ambassador, Destinations, Link, SlowLink, TcpPeer, comparison, wait};
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(15);

fn sink(mut stream: &std::net::TcpStream, _: usize) -> Result<()> {
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}

#[test]
fn before_its_success_a_nonblocking_connect_comes_from_loopback() -> Result<()> {
    let destinations = Destinations::new()?;
    let script = "
s = socket.socket()
s.setblocking(False)
assert s.connect_ex(PLACES['black-hole']) == errno.EINPROGRESS
print(s.getsockname()[0])
";
    let printed = comparison::printed(&Ambassador::run("-q")?, &destinations.link.client, script)?;
    ensure!(printed == ["10.77.0.1", "127.0.0.1"], "{printed:?}");
    Ok(())
}

#[test]
fn the_round_trip_that_a_socket_measures_is_that_of_loopback() -> Result<()> {
    let link = Link::new()?;
    let _wire = SlowLink::far(&link, Duration::from_millis(30))?;
    let _server = TcpPeer::start(&link.server, SlowLink::v4(7603), sink)?;
    let script = "
s = socket.create_connection(('10.78.0.2', 7603))
for _ in range(20):
    s.sendall(b'x')
    time.sleep(0.02)
# tcpi_min_rtt, in microseconds
print(struct.unpack_from('I', s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 148)[0] >= 60000)
";
    let printed = comparison::printed(&Ambassador::run("-q")?, &link.client, script)?;
    ensure!(printed == ["True", "False"], "{printed:?}");
    Ok(())
}

#[test]
fn the_congestion_control_that_a_route_chooses_is_not_that_of_the_socket() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7604), sink)?;
    let script = "
s = socket.create_connection(('10.77.0.2', 7604))
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b'\\0').decode())
";
    // Whatever this machine's default is, one of the two is another.
    let mut told = Vec::new();
    for name in ["reno", "cubic"] {
        link.client.ip(&format!("route replace 10.77.0.2/32 dev {} congctl {name}", Link::DEVICE))?;
        let [direct, under] = comparison::printed(&Ambassador::run("-q")?, &link.client, script)?;
        ensure!(direct == name, "direct: {direct}");
        told.push(under);
    }
    ensure!(told[0] == told[1], "{told:?}");
    Ok(())
}

/// What is sent is acknowledged at once, and so are the probes of keepalive.
#[test]
fn keepalive_does_not_notice_a_network_that_dies() -> Result<()> {
    let script = "
s = socket.create_connection(('10.77.0.2', 7605))
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
    s.setsockopt(socket.IPPROTO_TCP, option, 1)
print('up', flush=True)
input()
s.settimeout(5)
try:
    s.recv(1)
except OSError as error:
    print(named(error.errno) if error.errno else 'own-timeout', flush=True)
";
    let program = comparison::python(script);
    for (is_direct, want) in [(true, "ETIMEDOUT"), (false, "own-timeout")] {
        let link = Link::new()?;
        let _server = TcpPeer::start(&link.server, Link::v4(7605), sink)?;
        let ambassador = Ambassador::run("-q")?;
        let mut process = if is_direct {
            ambassador_tests::Process::spawn(link.client.command(&program[0]).args(&program[1..]))?
        } else {
            ambassador.spawn(&link.client, &program)?
        };
        process.until_stdout("up", SOON)?;
        link.server.ip(&format!("addr del 10.77.0.2/24 dev {}", Link::DEVICE))?;
        process.say("")?;
        wait::until_true("the end", SOON, || process.stdout().lines().count() == 2)?;
        ensure!(process.stdout().lines().last() == Some(want), "direct {is_direct}: {}", process.stdout());
    }
    Ok(())
}

#[test]
fn the_program_is_in_a_cgroup_of_its_own() -> Result<()> {
    let link = Link::new()?;
    let script = "
print([line.split(':')[2].strip() for line in open('/proc/self/cgroup') if line.startswith('0::')][0])
";
    let ambassador = Ambassador::run("-q")?;
    let [direct, under] = comparison::printed(&ambassador, &link.client, script)?;
    let own = ambassador.cgroup.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let below = under.split('/').skip_while(|part| Some(*part) != own.as_deref()).collect::<Vec<_>>();
    ensure!(matches!(below[..], [_, run, "cmd"] if run.starts_with("ambassador-")), "{under}");
    ensure!(!direct.contains("ambassador-"), "{direct}");
    Ok(())
}

#[test]
fn after_a_kill_established_connections_are_broken() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(7606), |mut stream, _| {
        stream.write_all(b"hello")?;
        sink(stream, 0)
    })?;
    let script = "
s = socket.create_connection(('10.77.0.2', 7606))
s.settimeout(10)
print(s.recv(5).decode(), flush=True)
try:
    print('end' if s.recv(1) == b'' else 'more', flush=True)
except OSError as error:
    print(named(error.errno) if error.errno else 'still open', flush=True)
";
    let ambassador = Ambassador::run("-q")?;
    let mut process = ambassador.spawn(&link.client, &comparison::python(script))?;
    process.until_stdout("hello", SOON)?;
    process.signal(Signal::SIGKILL)?;
    wait::until_true("the end", SOON, || process.stdout().lines().count() == 2)?;
    let told = process.stdout();
    ensure!(matches!(told.lines().last(), Some("end" | "ECONNRESET")), "{told}");
    Ok(())
}
