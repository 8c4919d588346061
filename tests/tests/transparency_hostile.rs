// SPDX-License-Identifier: Apache-2.0
//! Programs that do with their sockets what few do: each is told what it is told directly, and nothing of its connections
//! is left behind in the kernel programs' maps.

use std::time::Duration;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{
    Ambassador, Cgroup, Destinations, Link, Process, TcpPeer, comparison, kernel_maps, wait,
};
use anyhow::{Context, Result, ensure};

const SOON: Duration = Duration::from_secs(20);

/// How many entries are left of connections, and of verdicts on them.
fn left(cgroup: &Cgroup) -> Result<[usize; 3]> {
    Ok([
        kernel_maps::entries(cgroup, "FLOW")?,
        kernel_maps::entries(cgroup, "VERDICT")?,
        kernel_maps::nonzero(cgroup, "VERDICT_WORDS")?,
    ])
}

/// What `script` prints is the same directly and under ambassador, where nothing is left of it while it still runs.
fn check(destinations: &Destinations, script: &str) -> Result<String> {
    let namespace = &destinations.link.client;
    let program =
        comparison::python(&format!("{SOCKETS}\n{script}\nprint('finished', flush=True)\ninput()\n"));
    let mut direct = namespace.command(&program[0]);
    let direct = Process::run_with_input(direct.args(&program[1..]), b"\n", LONG)?.expect_success()?.text();
    let ambassador = Ambassador::run("-q")?;
    let mut under = ambassador.spawn(namespace, &program)?;
    under.until_stdout("finished", LONG).with_context(|| under.stderr())?;
    wait::until("nothing", SOON, || Ok((left(&ambassador.cgroup)? == [0; 3]).then_some(())))
        .with_context(|| format!("flows, verdicts, words: {:?}", left(&ambassador.cgroup)))?;
    under.say("")?;
    let under = under.finish(SOON)?.expect_success()?.text();
    ensure!(direct == under, "directly:\n{direct}\nunder ambassador:\n{under}");
    Ok(under)
}

const SOCKETS: &str = r#"
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
def disconnect(s):
    assert libc.connect(s.fileno(), bytes(16), 16) == 0, ctypes.get_errno()
def begun(place):
    s = socket.socket(family_of(PLACES[place]))
    s.setblocking(False)
    return s, s.connect_ex(PLACES[place])
def ended(s, timeout=5):
    if not wait_poll(s, timeout):
        return "own-timeout"
    return named(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
def reached(s):
    s.settimeout(5)
    return s.makefile().readline().strip()
"#;

#[test]
fn connects_that_are_closed_at_once_leave_nothing() -> Result<()> {
    check(
        &Destinations::new()?,
        "
for n in range(300):
    for place in ('open', 'closed', 'unreachable', 'black-hole', 'open6', 'closed6'):
        begun(place)[0].close()
",
    )?;
    Ok(())
}

#[test]
fn a_second_connect_is_told_of_the_first() -> Result<()> {
    let told = check(
        &Destinations::new()?,
        "
for place, other in (('black-hole', 'open'), ('black-hole6', 'open6')):
    s, code = begun(place)
    print(place, named(code), named(s.connect_ex(PLACES[other])), named(s.connect_ex(PLACES[place])))
    s.close()
for place, other in (('open', 'closed'), ('open6', 'closed6')):
    s, _ = begun(place)
    print(place, ended(s), named(s.connect_ex(PLACES[other])), reached(s))
    print(named(s.connect_ex(PLACES[other])), s.getpeername()[:2])
    s.close()
",
    )?;
    ensure!(told.contains("EINPROGRESS EALREADY EALREADY") && told.contains("EISCONN"), "{told}");
    Ok(())
}

/// The second destination is told by itself, whatever the first one says at the same moment.
#[test]
fn a_socket_that_is_disconnected_under_way_is_told_of_its_second_destination_only() -> Result<()> {
    let told = check(
        &Destinations::new()?,
        "
import random
random.seed(5)
told = {}
for n in range(600):
    # Not an unreachable one: Linux keeps what ICMP said for the socket's next connect, where directly nothing was sent.
    first = ('open', 'closed', 'black-hole')[n % 3]
    second = ('open', 'closed')[n // 3 % 2]
    s, _ = begun(first)
    until = time.monotonic() + random.choice((0, 0.00005, 0.0001, 0.0002, 0.0004))
    while time.monotonic() < until: pass
    disconnect(s)
    code = s.connect_ex(PLACES[second])
    result = ended(s) if code == errno.EINPROGRESS else named(code)
    if result == '0':
        result = reached(s)
    told.setdefault(second, {}).setdefault(result, 0)
    told[second][result] += 1
    s.close()
print(sorted((place, sorted(of.items())) for place, of in told.items()))
",
    )?;
    ensure!(told.contains("('closed', [('ECONNREFUSED', 300)])"), "{told}");
    Ok(())
}

#[test]
fn a_connect_that_another_thread_shuts_down_or_closes_ends() -> Result<()> {
    check(
        &Destinations::new()?,
        "
def blocked(place):
    s = socket.socket(family_of(PLACES[place]))
    # The kernel's own limit, under which connect() blocks in one call.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 1, 0))
    results = []
    thread = threading.Thread(target=lambda: results.append(named(s.connect_ex(PLACES[place]))))
    thread.start()
    time.sleep(0.1)
    return s, thread, results
for place in ('black-hole', 'black-hole6'):
    s, thread, results = blocked(place)
    s.shutdown(socket.SHUT_RDWR)
    thread.join()
    print(place, 'shut', results)
    s.close()
    s, thread, results = blocked(place)
    os.close(s.detach())
    thread.join()
    print(place, 'closed', results)
",
    )?;
    Ok(())
}

#[test]
fn a_connect_under_way_belongs_to_whoever_has_the_socket() -> Result<()> {
    let told = check(
        &Destinations::new()?,
        "
for place in ('open', 'black-hole', 'open6'):
    s, _ = begun(place)
    # The child has it alone from here on.
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        result = ended(s, 0.5)
        print(place, result, reached(s) if result == '0' else '', flush=True)
        os._exit(0)
    s.close()
    os.waitpid(child, 0)
",
    )?;
    ensure!(told.contains("open 0 10.77.0.2 7000") && told.contains("black-hole own-timeout"), "{told}");
    Ok(())
}

/// A socket stays in the cgroup and the namespace that it was made in, whoever connects it, and from wherever.
#[test]
fn a_socket_outlives_the_namespace_and_the_cgroup_of_its_program() -> Result<()> {
    let told = check(
        &Destinations::new()?,
        "
def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
def elsewhere():
    before, _ = begun('open')
    later = socket.socket()
    assert libc.unshare(0x40000000) == 0
    # A world of its own, which ends with this process.
    os.system('ip link set lo up')
    server = socket.create_server(('127.0.0.1', 0))
    own = socket.create_connection(server.getsockname(), 5)
    print('own', own.getpeername() == server.getsockname(), named(begun('open')[1]))
    print('before', ended(before), reached(before))
    later.settimeout(5)
    later.connect(PLACES['open'])
    print('later', reached(later), later.getpeername())
in_child(elsewhere)
def moved():
    before, _ = begun('open')
    silent, _ = begun('black-hole')
    mount = next(l.split()[4] for l in open('/proc/self/mountinfo') if ' - cgroup2 ' in l)
    with open(mount + '/cgroup.procs', 'w') as procs:
        procs.write('0')
    print('before', ended(before), reached(before))
    with socket.create_connection(PLACES['open'], 5) as s:
        print('direct', reached(s), s.getpeername())
    print('silent', ended(silent, 0.3))
in_child(moved)
",
    )?;
    ensure!(told.contains("own True ENETUNREACH\nbefore 0 10.77.0.2 7000\nlater 10.77.0.2 7000"), "{told}");
    Ok(())
}

/// A connect that fails leaves a socket that may be bound and may listen: its names are its own then.
#[test]
fn a_refused_socket_that_listens_has_the_name_that_it_was_bound_to() -> Result<()> {
    let told = check(
        &Destinations::new()?,
        "
for place, own in (('', '127.0.0.1'), ('6', '::1')):
    with socket.create_connection(PLACES['open' + place], 5) as s:
        print(reached(s), s.getsockname()[0])
    for kind in ('blocking', 'non-blocking'):
        s = socket.socket(family_of((own, 0)))
        if kind == 'blocking':
            print(named(s.connect_ex(PLACES['closed' + place])))
        else:
            s.setblocking(False)
            code = s.connect_ex(PLACES['closed' + place])
            print(ended(s) if code == errno.EINPROGRESS else named(code))
            disconnect(s)
        s.bind((own, 0))
        s.listen()
        print(kind, s.getsockname()[0])
        s.setblocking(True)
        with socket.create_connection(s.getsockname()[:2], 5) as client:
            accepted, peer = s.accept()
            print(accepted.getsockname()[0], peer[0], client.getpeername() == s.getsockname())
            accepted.close()
        s.close()
",
    )?;
    ensure!(told.contains("blocking 127.0.0.1\n127.0.0.1 127.0.0.1 True"), "{told}");
    Ok(())
}

/// From loopback no other host can be reached, and a program that binds a socket there may rely on it.
#[test]
fn a_socket_that_is_bound_to_loopback_does_not_leave_the_host() -> Result<()> {
    let told = check(
        &Destinations::new()?,
        "
for source in ('127.0.0.1', '127.0.0.2', '127.77.0.1'):
    for family, prefix in ((socket.AF_INET, ''), (socket.AF_INET6, '::ffff:')):
        s = socket.socket(family)
        s.bind((prefix + source, 0))
        s.settimeout(0.5)
        ip, port = PLACES['open']
        try:
            s.connect((prefix + ip, port))
            print(source, prefix, 'connected')
        except OSError as error:
            print(source, prefix, named(error.errno))
        s.close()
",
    )?;
    ensure!(!told.contains("connected"), "{told}");
    Ok(())
}

/// Of such an address only the scope says where it is, which the hooks of `connect()` are not told.
#[test]
fn a_link_local_address_is_reached_by_its_scope() -> Result<()> {
    let destinations = Destinations::new()?;
    let Link { client, server } = &destinations.link;
    for (namespace, host) in [(client, 1), (server, 2)] {
        namespace.ip(&format!("addr add fe80::77:{host}/64 dev {} nodad", Link::DEVICE))?;
    }
    let _server = TcpPeer::start(server, "[::]:7010".parse()?, |mut stream, _| {
        std::io::Write::write_all(&mut stream, b"here\n")?;
        Ok(())
    })?;
    let told = check(
        &destinations,
        "
scope = socket.if_nametoindex('wire0')
for way in ('scope', 'bound'):
    s = socket.socket(socket.AF_INET6)
    s.settimeout(5)
    if way == 'bound':
        s.bind(('fe80::77:1', 0, 0, scope))
    s.connect(('fe80::77:2', 7010, 0, scope))
    print(way, reached(s), s.getpeername())
    s.close()
s = socket.socket(socket.AF_INET6)
print('no scope', named(s.connect_ex(('fe80::77:2', 7010))))
",
    )?;
    ensure!(told.contains("scope here") && told.contains("no scope EINVAL"), "{told}");
    Ok(())
}
