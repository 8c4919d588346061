// SPDX-License-Identifier: Apache-2.0
//! `ambassador doctor` tells what `run` would meet, names what is missing, and leaves nothing behind.

use std::process::Command;
use std::time::Duration;

use ambassador_tests::ambassador::{LONG, binary};
use ambassador_tests::{Ambassador, Cgroup, Finished, Namespace, Process, RefusedProgram, Terminal, cgroup};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const NAMES: [&str; 31] = [
    "kernel",
    "cgroup2",
    "btf",
    "open-files",
    "seccomp",
    "CAP_BPF",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SYS_ADMIN",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_KILL",
    "CAP_DAC_OVERRIDE",
    "connect4",
    "connect6",
    "getpeername4",
    "getpeername6",
    "getsockname4",
    "getsockname6",
    "so_main",
    "so_passive",
    "lfilter",
    "raw-socket-v4",
    "raw-socket-v6",
    "cgroup",
    "attach",
    "syn-filter",
    "self-test-v4",
    "self-test-v6",
];

/// The doctor in a namespace and a cgroup of its own, started through the words of `through`.
fn command(namespace: &Namespace, cgroup: &Cgroup, through: &[&str], flags: &str) -> Command {
    let mut command = namespace.command("sh");
    command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(cgroup.path());
    command.args(through).arg(binary()).arg("doctor").args(flags.split_whitespace());
    command
}

/// What it says in JSON; the caller's cgroup must be as before.
fn examine(namespace: &Namespace, through: &[&str], code: i32) -> Result<Value> {
    let cgroup = Cgroup::new()?;
    let finished =
        Process::run(&mut command(namespace, &cgroup, through, "-o json"), LONG)?.expect_code(code)?;
    ensure!(finished.errors().is_empty(), "{}", finished.errors());
    cgroup.until_clean()?;
    serde_json::from_slice(&finished.stdout).with_context(|| finished.text())
}

fn find<'a>(examination: &'a Value, name: &str) -> Result<&'a Value> {
    let checks = examination["checks"].as_array().context("checks")?;
    checks.iter().find(|check| check["name"] == name).with_context(|| format!("no {name}: {examination}"))
}

/// A finding has this status, and a hint if it is not as it should be.
fn expect(examination: &Value, name: &str, status: &str) -> Result<()> {
    let check = find(examination, name)?;
    ensure!(check["status"] == status, "{check}");
    let wants_hint = !matches!(status, "ok" | "skipped");
    ensure!(check["hint"].as_str().is_some_and(|hint| !hint.is_empty()) == wants_hint, "{check}");
    Ok(())
}

/// `ambassador run` started through the same words.
fn run(namespace: &Namespace, through: &[&str]) -> Result<Finished> {
    let mut command = namespace.command("sh");
    let cgroup = Cgroup::new()?;
    command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(cgroup.path());
    command.args(through).arg(binary()).args(["run", "-q", "--", "echo", "started"]);
    Process::run(&mut command, LONG)
}

#[test]
fn where_everything_is_there_everything_is_tried_and_well() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let examination = examine(&namespace, &[], 0)?;
    let checks = examination["checks"].as_array().context("checks")?;
    let names: Vec<_> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    ensure!(names == NAMES, "{names:?}");
    for name in NAMES {
        expect(&examination, name, "ok")?;
    }
    ensure!(examination["verdict"] == "ok" && examination["version"].is_string(), "{examination}");
    run(&namespace, &[])?.expect_success()?;
    Ok(())
}

#[test]
fn without_raw_sockets_run_works_and_is_degraded() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let through = ["setpriv", "--bounding-set=-net_raw"];
    let examination = examine(&namespace, &through, 0)?;
    ensure!(examination["verdict"] == "degraded", "{examination}");
    for name in ["CAP_NET_RAW", "raw-socket-v4", "raw-socket-v6", "syn-filter"] {
        expect(&examination, name, "degraded")?;
    }
    for name in ["lfilter", "attach", "self-test-v4", "self-test-v6"] {
        expect(&examination, name, "ok")?;
    }
    run(&namespace, &through)?.expect_success()?;
    Ok(())
}

#[test]
fn what_only_options_need_changes_no_verdict() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let through = ["setpriv", "--bounding-set=-sys_admin,-setuid,-perfmon"];
    let examination = examine(&namespace, &through, 0)?;
    ensure!(examination["verdict"] == "ok", "{examination}");
    for name in ["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_PERFMON"] {
        expect(&examination, name, "optional")?;
    }
    run(&namespace, &through)?.expect_success()?;
    Ok(())
}

#[test]
fn without_a_capability_that_all_need_run_cannot_work() -> Result<()> {
    let namespace = Namespace::new("run")?;
    for (sets, missing) in [("-sys_admin,-bpf", "CAP_BPF"), ("-sys_admin,-net_admin", "CAP_NET_ADMIN")] {
        let set = format!("--bounding-set={sets}");
        let through = ["setpriv", set.as_str()];
        let examination = examine(&namespace, &through, 1)?;
        ensure!(examination["verdict"] == "broken", "{examination}");
        expect(&examination, missing, "broken")?;
        for name in ["connect4", "lfilter", "attach", "self-test-v4"] {
            expect(&examination, name, "skipped")?;
            ensure!(find(&examination, name)?["found"].as_str().is_some_and(|found| found.contains(missing)));
        }
        let refused = run(&namespace, &through)?.expect_code(125)?;
        ensure!(refused.text().is_empty(), "the command was started");
        let errors = refused.errors();
        ensure!(errors.contains(missing) && errors.contains("ambassador doctor"), "{errors}");
    }
    Ok(())
}

#[test]
fn without_cgroup2_run_cannot_work() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let hide = "while umount -l -t cgroup2 -a 2>/dev/null && grep -q ' - cgroup2 ' /proc/self/mountinfo; do :; done; \
                exec \"$@\"";
    let through = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", hide, "sh"];
    let examination = examine(&namespace, &through, 1)?;
    expect(&examination, "cgroup2", "broken")?;
    expect(&examination, "connect4", "skipped")?;
    let refused = run(&namespace, &through)?.expect_code(125)?;
    ensure!(refused.errors().contains("ambassador doctor"), "{}", refused.errors());
    Ok(())
}

#[test]
fn a_kernel_that_hides_its_types_is_degraded() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let through = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", hide, "sh"];
    let examination = examine(&namespace, &through, 0)?;
    ensure!(examination["verdict"] == "degraded", "{examination}");
    expect(&examination, "btf", "degraded")?;
    // Nothing is relocated against them.
    for name in ["connect4", "so_main", "lfilter", "attach", "self-test-v4"] {
        expect(&examination, name, "ok")?;
    }
    run(&namespace, &through)?.expect_success()?;
    Ok(())
}

#[test]
fn a_program_that_the_kernel_refuses_is_named() -> Result<()> {
    let namespace = Namespace::new("run")?;
    for refused in NAMES.iter().skip_while(|name| **name != "connect4").take(9) {
        let kernel = RefusedProgram::new(refused)?;
        let variables = kernel.variables().map(|(name, value)| format!("{name}={value}"));
        let through = ["env", &variables[0], &variables[1]];
        // Without the filter everything else works.
        let (code, status) = if *refused == "lfilter" { (0, "degraded") } else { (1, "broken") };
        let examination = examine(&namespace, &through, code)?;
        ensure!(examination["verdict"] == status, "{examination}");
        expect(&examination, refused, status)?;
        let found = find(&examination, refused)?["found"].as_str().unwrap_or_default();
        ensure!(found.starts_with(&format!("the kernel rejected the program {refused}")), "{found}");
        for name in ["connect4", "so_passive", "lfilter"].iter().filter(|name| *name != refused) {
            expect(&examination, name, "ok")?;
        }
        let run = run(&namespace, &through)?;
        if code == 0 {
            run.expect_success()?;
        } else {
            let errors = run.expect_code(125)?.errors();
            ensure!(errors.contains(&format!("the kernel rejected the program {refused}")), "{errors}");
            ensure!(errors.contains("ambassador doctor"), "{errors}");
        }
    }
    Ok(())
}

#[test]
fn a_user_without_a_cgroup_of_its_own_is_told_so() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let granted = "+bpf,+net_admin,+net_raw";
    let (inherited, ambient) = (format!("--inh-caps={granted}"), format!("--ambient-caps={granted}"));
    let through = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", &inherited, &ambient];
    let examination = examine(&namespace, &through, 1)?;
    for name in ["CAP_BPF", "CAP_NET_RAW", "connect4", "raw-socket-v4"] {
        expect(&examination, name, "ok")?;
    }
    expect(&examination, "cgroup", "broken")?;
    expect(&examination, "self-test-v4", "skipped")?;
    run(&namespace, &through)?.expect_code(125)?;
    Ok(())
}

/// The hint of `name`.
fn hint<'a>(examination: &'a Value, name: &str) -> Result<&'a str> {
    find(examination, name)?["hint"].as_str().context("a hint")
}

#[test]
fn a_hierarchy_that_is_mounted_read_only_is_told_so() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let lock = "for mount in $(findmnt -rnt cgroup2 -o TARGET); do mount -o remount,bind,ro $mount; done; exec \"$@\"";
    let through = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", lock, "sh"];
    let examination = examine(&namespace, &through, 1)?;
    expect(&examination, "cgroup", "broken")?;
    ensure!(hint(&examination, "cgroup")?.contains("remount,bind,rw"), "{examination}");
    Ok(())
}

#[test]
fn root_that_may_not_override_is_told_the_capability() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let root = cgroup::mounts()?.into_iter().next().context("a hierarchy")?;
    let root = root.to_str().context("a path")?;
    let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
    let drop = "--bounding-set=-dac_override";
    let examination = examine(&namespace, &["sh", "-c", enter, root, "setpriv", drop], 1)?;
    expect(&examination, "CAP_DAC_OVERRIDE", "broken")?;
    ensure!(hint(&examination, "CAP_DAC_OVERRIDE")?.contains("grant it"), "{examination}");
    // In a cgroup that is root's own it is not needed.
    expect(&examine(&namespace, &["setpriv", drop], 0)?, "CAP_DAC_OVERRIDE", "optional")
}

#[test]
fn root_of_a_user_namespace_is_sent_out_of_it() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let examination = examine(&namespace, &["unshare", "--user", "--map-root-user"], 1)?;
    let checks = examination["checks"].as_array().context("checks")?;
    let broken = checks.iter().find(|check| check["status"] == "broken").context("something broken")?;
    ensure!(
        broken["hint"].as_str().is_some_and(|hint| hint.contains("outside of the user namespace")),
        "{broken}"
    );
    Ok(())
}

#[test]
fn a_firewall_that_eats_connects_is_found_by_the_self_test() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let rules = "table inet broken {
    chain input {
        type filter hook input priority 0; policy accept;
        ip daddr 127.77.0.0/24 drop
    }
}";
    let mut nft = namespace.command("nft");
    Process::run_with_input(nft.args(["-f", "-"]), rules.as_bytes(), LONG)?.expect_success()?;
    let examination = examine(&namespace, &[], 1)?;
    expect(&examination, "attach", "ok")?;
    expect(&examination, "self-test-v4", "broken")?;
    expect(&examination, "self-test-v6", "ok")
}

#[test]
fn few_open_files_and_no_loopback_are_found() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let examination = examine(&namespace, &["prlimit", "--nofile=512:512"], 0)?;
    expect(&examination, "open-files", "degraded")?;
    namespace.ip("link set lo down")?;
    let examination = examine(&namespace, &[], 1)?;
    ensure!(examination["verdict"] == "broken", "{examination}");
    let refused = run(&namespace, &[])?.expect_code(125)?;
    ensure!(refused.errors().contains("ambassador doctor"), "{}", refused.errors());
    Ok(())
}

#[test]
fn the_table_fits_its_reader() -> Result<()> {
    let (namespace, cgroup) = (Namespace::new("run")?, Cgroup::new()?);
    let table = |locale: &str| -> Result<String> {
        let mut command = command(&namespace, &cgroup, &[], "");
        Ok(Process::run(command.env("LC_ALL", locale), LONG)?.expect_success()?.text())
    };
    let unicode = table("C.UTF-8")?;
    ensure!(unicode.lines().count() == NAMES.len() + 1 && !unicode.contains('\x1b'), "{unicode}");
    ensure!(unicode.lines().all(|line| line.starts_with("√ ")), "{unicode}");
    let ascii = table("C")?;
    ensure!(ascii.is_ascii() && ascii.lines().all(|line| line.starts_with("+ ")), "{ascii}");
    Ok(())
}

#[test]
fn colours_are_for_terminals_that_want_them() -> Result<()> {
    let (namespace, cgroup) = (Namespace::new("run")?, Cgroup::new()?);
    let mut wanted = command(&namespace, &cgroup, &[], "");
    Terminal::open(wanted.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR"))?
        .expect("\x1b[32m√\x1b[0m kernel", SOON)?;
    let mut refused = command(&namespace, &cgroup, &[], "");
    Terminal::open(refused.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1"))?.expect("√ kernel", SOON)
}

#[test]
fn a_run_beside_it_is_not_disturbed() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?;
    let mut process = ambassador.spawn(&namespace, &["sh", "-c", "echo ready; exec cat"])?;
    process.until_stdout("ready", LONG)?;
    let before = (ambassador.cgroup.children(), ambassador.cgroup.attached_programs());
    let doctor = command(&namespace, &ambassador.cgroup, &[], "-o json");
    Process::run(&mut { doctor }, LONG)?.expect_success()?;
    ensure!((ambassador.cgroup.children(), ambassador.cgroup.attached_programs()) == before);
    process.finish(SOON)?.expect_success()?;
    ambassador.cgroup.until_clean()
}

const SOON: Duration = Duration::from_secs(15);
