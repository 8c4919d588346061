// SPDX-License-Identifier: Apache-2.0
//! What a hostile program in the intercepted cgroup cannot take: the maps, the proxy, its way around the redirect.

use ambassador_tests::{Ambassador, Link, Namespace, Witness};
use anyhow::{Result, ensure};

#[test]
fn a_program_without_capabilities_reaches_neither_maps_nor_proxy() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?;
    // Root by its user id, as the proxy is, but without a capability: only those are in the way of what it tries.
    let program = ["setpriv", "--bounding-set=-all", "/usr/bin/python3", "-c", ATTACK];
    let finished = ambassador.output(&namespace, &program)?.expect_success()?;
    let text = finished.text();
    let outcomes: Vec<&str> = text.lines().collect();
    let wanted = [
        "next map EPERM",
        "next program EPERM",
        "next link EPERM",
        "map by id EPERM",
        "program by id EPERM",
        "link by id EPERM",
        "own descriptors of maps 0",
        "elements through own descriptors 0",
        "descriptor of the proxy EPERM",
        "name of its descriptor EACCES",
        "file of its descriptor EACCES",
        "memory file EACCES",
        "memory by process_vm_readv EPERM",
        "ptrace EPERM",
    ];
    ensure!(outcomes == wanted, "{text}{}", finished.errors());
    Ok(())
}

const ATTACK: &str = r#"
import ctypes, errno, os, struct
libc = ctypes.CDLL(None, use_errno=True)
proxy = os.getppid()
assert os.getuid() == 0 and "CapEff:\t0000000000000000" in open("/proc/self/status").read()
def say(what, call):
    try:
        result = call()
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(what, result)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "allowed"
def bpf(command, *words):
    attributes = ctypes.create_string_buffer(struct.pack("%dI" % len(words), *words), 64)
    return checked(libc.syscall(321, command, attributes, 64))
for command, kind in ((12, "map"), (11, "program"), (31, "link")):
    say("next " + kind, lambda: bpf(command, 0))
def by_id(command):
    for number in range(1, 4096):
        try:
            return bpf(command, number)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    raise OSError(errno.ENOENT, "")
for command, kind in ((14, "map"), (13, "program"), (30, "link")):
    say(kind + " by id", lambda: by_id(command))
names = [os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)]
print("own descriptors of maps", sum("bpf" in name for name in names))
key, value = ctypes.create_string_buffer(64), ctypes.create_string_buffer(4096)
def element(fd):
    attributes = struct.pack("IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
    return libc.syscall(321, 1, ctypes.create_string_buffer(attributes, 64), 64) == 0
print("elements through own descriptors", sum(element(fd) for fd in range(1024)))
def steal():
    pidfd = os.pidfd_open(proxy)
    for fd in range(1024):
        try:
            return checked(libc.syscall(438, pidfd, fd, 0))
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
say("descriptor of the proxy", steal)
say("name of its descriptor", lambda: os.readlink("/proc/%d/fd/3" % proxy))
say("file of its descriptor", lambda: open("/proc/%d/fd/3" % proxy, "rb") and "opened")
say("memory file", lambda: open("/proc/%d/mem" % proxy, "rb") and "opened")
def read_memory():
    vector = struct.pack("QQ", ctypes.addressof(value), 8)
    return checked(libc.process_vm_readv(proxy, vector, 1, vector, 1, 0))
say("memory by process_vm_readv", read_memory)
libc.ptrace.argtypes = [ctypes.c_long] * 4
say("ptrace", lambda: checked(libc.ptrace(16, proxy, 0, 0)))
"#;

#[test]
fn a_program_cannot_borrow_the_bypass() -> Result<()> {
    let link = Link::new()?;
    let witness = Witness::start(&link.server, Link::v4(7001))?;
    let ambassador = Ambassador::run("-q")?;
    let address = witness.address().port().to_string();
    let cgroups = ambassador.cgroup.path().display().to_string();
    // Real root: it has every capability, and may move itself within its cgroup.
    let program = ["/usr/bin/python3", "-c", BORROW, &address, &cgroups, "root"];
    let finished = ambassador.output(&link.client, &program)?.expect_success()?;
    let wanted = "plain proxied\nmarked proxied\nin a cgroup below proxied\n";
    ensure!(finished.text() == wanted, "{}{}", finished.text(), finished.errors());
    // Anybody else cannot leave it either.
    let ambassador = Ambassador::run("-q --user nobody")?;
    let cgroups = ambassador.cgroup.path().display().to_string();
    let program = ["/usr/bin/python3", "-c", BORROW, &address, &cgroups, "nobody"];
    let finished = ambassador.output(&link.client, &program)?.expect_success()?;
    let wanted =
        "plain proxied\nmark EPERM\nto the proxy's cgroup EACCES\nout of its cgroup EACCES\nplain proxied\n";
    ensure!(finished.text() == wanted, "{}{}", finished.text(), finished.errors());
    Ok(())
}

const BORROW: &str = r#"
import errno, glob, os, socket, struct, sys
socket.SO_MARK = 36
port, cgroups, user = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def way(marks=()):
    found = set()
    for mark in marks or (None,):
        with socket.socket() as s:
            if mark is not None:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark))
            s.connect(("10.77.0.2", port))
            s.sendall(b"who\n")
            assert s.recv(100)
            own = "%04X" % s.getsockname()[1]
            rows = [row.split() for row in open("/proc/net/tcp")]
            to_listener = [row for row in rows if row[1].endswith(":" + own) and "004D7F:" in row[2]]
            found.add("proxied" if to_listener else "direct")
    return " ".join(found)
def say(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, errno.errorcode[error.errno])
def move(path):
    with open(path + "/cgroup.procs", "w") as procs:
        procs.write("0")
    return "moved"
own = glob.glob(cgroups + "/ambassador-*/cmd")[0]
print("plain", way())
if user == "root":
    print("marked", way([1 << bit for bit in range(32)] + [0xffffffff, 0xfad]))
    os.mkdir(own + "/below")
    move(own + "/below")
    print("in a cgroup below", way())
    move(own)
    os.rmdir(own + "/below")
else:
    say("mark", lambda: way([1]))
    say("to the proxy's cgroup", lambda: move(os.path.dirname(own) + "/proxy"))
    say("out of its cgroup", lambda: move(cgroups))
    print("plain", way())
"#;
