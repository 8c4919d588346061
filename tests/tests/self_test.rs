// SPDX-License-Identifier: Apache-2.0
//! Before CMD starts, and as long as it runs, ambassador tests that connects of its cgroup arrive; nobody sees it.

use std::collections::BTreeSet;
use std::time::Duration;

use ambassador_tests::ambassador::{LONG, binary};
use ambassador_tests::{Ambassador, Driver, Link, Namespace, Process, Witness, metrics, wait};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");

const POLICY: &str = "version: v1
telemetry: {metrics: {listen: '127.0.0.1:9464'}}
intercept: {selfTest: 20ms}
";

/// Drops what is redirected: what a firewall on `lo` may do.
const DROP: &str = "table inet broken {
    chain input {
        type filter hook input priority 0; policy accept;
        ip daddr 127.77.0.0/24 drop
    }
}";

fn nft(namespace: &Namespace, rules: &str) -> Result<()> {
    let mut command = namespace.command("nft");
    Process::run_with_input(command.args(["-f", "-"]), rules.as_bytes(), LONG)?.expect_success()?;
    Ok(())
}

fn page(namespace: &Namespace, path: &str) -> Result<String> {
    let url = format!("http://127.0.0.1:9464{path}");
    let mut curl = namespace.command("curl");
    Ok(Process::run(curl.args(["-sS", "-m", "5", "-w", "%{http_code}", &url]), LONG)?
        .expect_success()?
        .text())
}

#[test]
fn a_command_is_not_started_where_its_connects_would_not_arrive() -> Result<()> {
    let namespace = Namespace::new("run")?;
    nft(&namespace, DROP)?;
    let ambassador = Ambassador::run("-q")?;
    let finished = ambassador.output(&namespace, &["echo", "started"])?.expect_code(125)?;
    ensure!(finished.text().is_empty(), "CMD was started: {}", finished.text());
    let errors = finished.errors();
    ensure!(errors.contains("self-test") && errors.contains("ambassador doctor"), "{errors}");
    ensure!(errors.trim().lines().count() == 1, "wanted one line: {errors}");
    ambassador.cgroup.until_clean()
}

#[test]
fn a_signal_before_the_command_starts_ends_the_run() -> Result<()> {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let namespace = Namespace::new("run")?;
        nft(&namespace, DROP)?;
        let ambassador = Ambassador::run("-q")?;
        let process = ambassador.spawn(&namespace, &["echo", "started"])?;
        wait::until_true("a program", LONG, || ambassador.cgroup.attached_programs() > 0)?;
        process.signal(signal)?;
        let finished = process.finish(LONG)?.expect_code(code)?;
        ensure!(finished.text().is_empty(), "CMD was started: {}", finished.text());
        ambassador.cgroup.until_clean()?;
    }
    Ok(())
}

#[test]
fn a_failure_is_told_once_and_ends_readiness_until_it_is_over() -> Result<()> {
    let link = Link::new()?;
    let witness = Witness::start(&link.server, Link::v4(7001))?;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    ensure!(page(&link.client, "/readyz")? == "ok\n200");
    nft(&link.client, DROP)?;
    wait::until_true("a line about the self-test", LONG, || driver.stderr().contains("self-test failed"))?;
    ensure!(page(&link.client, "/readyz")? == "detached\n503");
    ensure!(page(&link.client, "/livez")? == "ok\n200");
    let failed = metrics::count(&page(&link.client, "/metrics")?, "ambassador_self_tests_total", "failed")?;
    ensure!(failed >= 1, "{failed} failures are counted");
    nft(&link.client, "delete table inet broken")?;
    wait::until_true("the end of the failure", LONG, || driver.stderr().contains("passes again"))?;
    ensure!(page(&link.client, "/readyz")? == "ok\n200");
    ensure!(driver.path_to(witness.address())? == "proxied");
    let lines = driver.stderr().lines().filter(|line| line.contains("self-test")).count();
    ensure!(lines == 2, "one line each: {}", driver.stderr());
    driver.finish()?.expect_success()?;
    ambassador.cgroup.until_clean()
}

#[test]
fn a_proxy_that_has_no_room_is_busy_and_not_broken() -> Result<()> {
    let link = Link::new()?;
    let witness = Witness::start(&link.server, Link::v4(7001))?;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let hold = "
import socket, sys
held = [socket.create_connection(('10.77.0.2', 7001)) for n in range(60)]
print('ready', flush=True)
sys.stdin.read()
";
    // As many open files as leave room for some thirty connections.
    let directory = tempfile::tempdir()?;
    let limited = directory.path().join("limited");
    std::fs::write(&limited, format!("#!/bin/sh\nulimit -n 256\nexec {} \"$@\"\n", binary().display()))?;
    let executable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&limited, executable)?;
    let ambassador = ambassador.program(limited);
    let mut process = ambassador.spawn(&link.client, &["/usr/bin/python3", "-c", hold])?;
    process.until_stdout("ready", LONG)?;
    let count = |result: &str| -> Result<u64> {
        metrics::count(&page(&link.client, "/metrics")?, "ambassador_self_tests_total", result)
    };
    wait::until("a test that finds no room", LONG, || Ok((count("inconclusive")? >= 1).then_some(())))?;
    ensure!(count("failed")? == 0, "{}", process.stderr());
    ensure!(page(&link.client, "/readyz")? == "ok\n200");
    process.finish(LONG)?.expect_success()?;
    ensure!(witness.seen() >= 30, "{}", witness.seen());
    Ok(())
}

#[test]
fn nobody_sees_the_self_test() -> Result<()> {
    let link = Link::new()?;
    let ambassador = Ambassador::with_policy("", POLICY)?;
    let mut process = ambassador.spawn(&link.client, &["sh", "-c", "echo $$ ready; exec cat"])?;
    process.until_stdout("ready", LONG)?;
    let pid = process.stdout().split(' ').next().context("a pid")?.to_owned();
    let cmd = ambassador.cgroup.children().into_iter().find(|group| group.ends_with("cmd"));
    let procs = cmd.context("a cgroup of CMD")?.join("cgroup.procs");
    let mut seen = BTreeSet::new();
    let mut last = String::new();
    wait::until_true("twenty self-tests", LONG, || {
        seen.extend(std::fs::read_to_string(&procs).unwrap_or_default().lines().map(str::to_owned));
        last = page(&link.client, "/metrics").unwrap_or_default();
        metrics::count(&last, "ambassador_self_tests_total", "passed").is_ok_and(|passed| passed >= 20)
    })?;
    ensure!(seen == BTreeSet::from([pid]), "in CMD's cgroup: {seen:?}");
    ensure!(metrics::count(&last, "ambassador_connections_total", "")? == 0, "{last}");
    ensure!(metrics::count(&last, "ambassador_connect_hold_seconds_count", "")? == 0, "{last}");
    ensure!(metrics::count(&last, "ambassador_self_tests_total", "failed")? == 0, "{last}");
    // One that is on its way may be counted by the kernel and not yet by the proxy.
    ensure!(metrics::count(&last, "ambassador_bpf_connects_total", "")? <= 2, "{last}");
    let finished = process.finish(Duration::from_secs(10))?.expect_success()?;
    ensure!(finished.errors() == "ambassador: no intercepted connections\n", "{}", finished.errors());
    Ok(())
}

/// The one at start is a test like all others, and where there is no other, the only one.
#[test]
fn the_test_at_start_is_counted() -> Result<()> {
    let link = Link::new()?;
    let ambassador = Ambassador::with_policy("-q", &POLICY.replace("20ms", "0s"))?;
    let driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    let page = page(&link.client, "/metrics")?;
    for (result, want) in [("passed", 1), ("failed", 0)] {
        let counted = metrics::count(&page, "ambassador_self_tests_total", result)?;
        ensure!(counted == want, "{counted} {result}");
    }
    driver.finish()?.expect_success()?;
    Ok(())
}

#[test]
fn a_program_that_dials_the_sentinel_finds_what_is_there() -> Result<()> {
    let link = Link::new()?;
    link.client.ip("addr add 192.0.0.8/32 dev lo")?;
    link.client.ip("-6 addr add 100:0:0:1::8/128 dev lo nodad")?;
    let _v4 = Witness::start(&link.client, "192.0.0.8:9".parse()?)?;
    let _v6 = Witness::start(&link.client, "[100:0:0:1::8]:9".parse()?)?;
    let ambassador = Ambassador::run("-q")?;
    let script = "
import socket
for address in ('192.0.0.8', '100:0:0:1::8'):
    with socket.create_connection((address, 9), 5) as s:
        s.sendall(b'who\\n')
        print(s.getpeername()[:2], s.recv(100).split()[1].decode())
";
    let finished = ambassador.check_like_direct(&link.client, &["/usr/bin/python3", "-c", script], b"")?;
    ensure!(finished.text().lines().count() == 2, "{}{}", finished.text(), finished.errors());
    Ok(())
}

#[test]
fn every_namespace_and_family_is_tested() -> Result<()> {
    let (here, there) = (Namespace::new("here")?, Namespace::new("there")?);
    let flags = format!("-q --netns {}", there.name());
    let ambassador = Ambassador::run(&flags)?.env("AMBASSADOR_LOG", "debug");
    let finished = ambassador.output(&here, &["true"])?.expect_success()?;
    ensure!(finished.errors().contains("probes=4"), "{}", finished.errors());
    nft(&there, DROP)?;
    ambassador.output(&here, &["true"])?.expect_code(125)?;
    Ok(())
}
