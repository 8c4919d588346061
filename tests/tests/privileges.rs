// SPDX-License-Identifier: Apache-2.0
//! What the proxy has given up, and what the command keeps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ambassador_tests::ambassador::{LONG, binary};
use ambassador_tests::injection::system_call;
use ambassador_tests::{Ambassador, Link, Namespace, Process, cgroup, wait};
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::unistd::Pid;

const SOON: Duration = Duration::from_secs(10);
const LOGGED: &str = "version: v1\ntelemetry: {accessLog: {path: /dev/null}}\n";
const NONE: &str = "0000000000000000";

/// `/proc/PID/status` of each thread of a process, by thread id.
fn threads(process: Pid) -> Result<BTreeMap<i32, String>> {
    let mut statuses = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let path: PathBuf = entry?.path();
        let thread = path.file_name().and_then(|name| name.to_str()).context("a thread")?.parse()?;
        // A thread may end in between.
        if let Ok(status) = std::fs::read_to_string(path.join("status")) {
            statuses.insert(thread, status);
        }
    }
    Ok(statuses)
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

/// The threads of a proxy, once they all have its filter: it is installed when the command has been started.
fn confined(process: &Process) -> Result<BTreeMap<i32, String>> {
    wait::until("a filter on every thread", SOON, || {
        let threads = threads(process.pid())?;
        let confined = threads.values().all(|status| field(status, "Seccomp") == "2");
        Ok(confined.then_some(threads))
    })
}

/// Starts a command that says `ready` and waits.
fn started(ambassador: &Ambassador, namespace: &Namespace) -> Result<Process> {
    let mut process = ambassador.spawn(namespace, &["sh", "-c", "echo $$ ready; exec cat"])?;
    process.until_stdout("ready", LONG)?;
    Ok(process)
}

/// The pid of the command that [`started`] runs.
fn command(process: &Process) -> Result<Pid> {
    Ok(Pid::from_raw(process.stdout().split(' ').next().context("a pid")?.parse()?))
}

#[test]
fn no_thread_of_the_proxy_keeps_a_capability_or_can_gain_one() -> Result<()> {
    let (link, there) = (Link::new()?, Namespace::new("there")?);
    let flags = format!("-q --netns {}", there.path().display());
    let ambassador = Ambassador::with_policy(&flags, LOGGED)?;
    let process = started(&ambassador, &link.client)?;
    let threads = confined(&process)?;
    for (thread, status) in &threads {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure!(field(status, set) == NONE, "thread {thread}: {set} {}", field(status, set));
        }
        ensure!(field(status, "NoNewPrivs") == "1", "thread {thread}:\n{status}");
    }
    let names: Vec<&str> = threads.values().map(|status| field(status, "Name")).collect();
    for name in ["ambassador", "worker-0", "access-log", "netns-sockets"] {
        ensure!(names.contains(&name), "{name} is not among {names:?}");
    }
    process.finish(SOON)?.expect_success()?;
    ambassador.cgroup.until_clean()
}

#[test]
fn what_the_end_of_a_run_needs_only_the_main_thread_keeps() -> Result<()> {
    // In the root of the hierarchy removing the run's cgroups takes an override, and signals to another user CAP_KILL.
    let namespace = Namespace::new("run")?;
    let root = cgroup::mounts()?.into_iter().next().context("a cgroup2 mount")?.join("cgroup.procs");
    let script = r#"echo $$ > "$0" && exec "$@""#;
    let mut command = namespace.command("sh");
    command.args(["-c", script]).arg(root).arg(binary());
    let policy = ambassador_tests::ambassador::config_file(LOGGED)?;
    command.args(["run", "-q", "-c"]).arg(policy.path()).args([
        "--user",
        "nobody",
        "--",
        "sh",
        "-c",
        "echo $$ ready; exec cat",
    ]);
    let mut process = Process::spawn(&mut command)?;
    process.until_stdout("ready", LONG)?;
    let main = process.pid().as_raw();
    for (thread, status) in confined(&process)? {
        let effective = u64::from_str_radix(field(&status, "CapEff"), 16)?;
        let allowed = if thread == main { 1 << CAP_KILL | 1 << CAP_DAC_OVERRIDE } else { 0 };
        ensure!(effective & !allowed == 0, "{}: {effective:x}", field(&status, "Name"));
        ensure!(
            thread != main || effective & 1 << CAP_KILL != 0,
            "signals could not be passed on: {effective:x}"
        );
    }
    process.finish(SOON)?.expect_success()?;
    Ok(())
}

#[test]
fn every_thread_of_the_proxy_is_refused_programs_and_the_kernel() -> Result<()> {
    let (here, there) = (Namespace::new("here")?, Namespace::new("there")?);
    let ambassador = Ambassador::run(&format!("-q --netns {}", there.path().display()))?;
    let process = started(&ambassador, &here)?;
    // Each call is made with arguments that the kernel itself would refuse in another way.
    let calls = [
        ("execve", libc::SYS_execve, [0, 0, 0], Errno::EFAULT),
        ("execveat", libc::SYS_execveat, [u64::MAX, 0, 0], Errno::EFAULT),
        ("bpf, to load a program", libc::SYS_bpf, [5, 0, 8], Errno::EFAULT),
        ("bpf, to make a map", libc::SYS_bpf, [0, 0, 8], Errno::EFAULT),
        ("bpf, to open a map by its id", libc::SYS_bpf, [14, 0, 8], Errno::EFAULT),
        ("bpf, to attach a program", libc::SYS_bpf, [28, 0, 8], Errno::EFAULT),
        ("ptrace", libc::SYS_ptrace, [u64::MAX, 0, 0], Errno::ESRCH),
        ("setns", libc::SYS_setns, [u64::MAX, 0, 0], Errno::EBADF),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0], Errno::EFAULT),
        ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0], Errno::EFAULT),
    ];
    let elements = ("bpf, to look up an element", libc::SYS_bpf, [1, 0, 8], Errno::EFAULT);
    for (thread, status) in confined(&process)? {
        for (call, number, arguments, _) in calls {
            let refused = system_call(Pid::from_raw(thread), number, arguments)?;
            ensure!(refused == Some(Errno::EPERM), "{}: {call}: {refused:?}", field(&status, "Name"));
        }
        let refused = system_call(Pid::from_raw(thread), X32_EXECVE, [0, 0, 0])?;
        ensure!(refused == Some(Errno::EPERM), "{}: execve as of x32: {refused:?}", field(&status, "Name"));
        let (call, number, arguments, errno) = elements;
        let answer = system_call(Pid::from_raw(thread), number, arguments)?;
        ensure!(answer == Some(errno), "{}: {call}: {answer:?}", field(&status, "Name"));
    }
    // The command has inherited nothing of it.
    for (call, number, arguments, errno) in calls.into_iter().chain([elements]) {
        let answer = system_call(command(&process)?, number, arguments)?;
        ensure!(answer == Some(errno), "the command: {call}: {answer:?}");
    }
    process.finish(SOON)?.expect_success()?;
    ambassador.cgroup.until_clean()
}

#[test]
fn the_command_is_as_privileged_as_without_ambassador() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let script = "
import ctypes, re
status = open('/proc/self/status').read()
for line in re.findall('^(?:Cap|NoNewPrivs|Seccomp|Sig(?:Pnd|Blk|Ign|Cgt)|Uid|Gid|Groups|Umask|Speculation|THP)\\w*:.*', status, re.M):
    name, _, value = line.partition(':')
    # libc keeps two signals to itself, and takes them from whoever has threads.
    print(name, int(value, 16) & ~(3 << 31) if name == 'SigIgn' else value)
print('dumpable', ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
print('limits', open('/proc/self/limits').read())
print('oom', open('/proc/self/oom_score_adj').read())
";
    let ambassador = Ambassador::run("-q")?;
    let finished = ambassador.check_like_direct(&namespace, &["/usr/bin/python3", "-c", script], b"")?;
    let text = finished.text();
    ensure!(text.contains("NoNewPrivs \t0\n") && text.contains("Seccomp \t0\n"), "{text}");
    ensure!(text.contains("dumpable 1\n"), "{text}");
    // A capability that a caller does not have is not given either.
    let limited = ["setpriv", "--bounding-set=-sys_time,-sys_boot", "/usr/bin/python3", "-c", script];
    ambassador.check_like_direct(&namespace, &limited, b"")?;
    Ok(())
}

#[test]
fn a_set_user_id_program_still_gains_its_owner() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("whoami");
    let mode = |mode| <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
    std::fs::set_permissions(directory.path(), mode(0o755))?;
    std::fs::copy("/usr/bin/id", &program)?;
    std::fs::set_permissions(&program, mode(0o4755))?;
    let program = program.to_str().context("a path")?;
    let finished =
        Ambassador::run("-q --user nobody")?.output(&namespace, &[program, "-u"])?.expect_success()?;
    ensure!(finished.text() == "0\n", "as user {}", finished.text());
    Ok(())
}

/// `__NR_x32_execve`, with which kernels that have the ABI would execute all the same.
const X32_EXECVE: libc::c_long = 0x4000_0000 + 520;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_KILL: u32 = 5;
