// SPDX-License-Identifier: Apache-2.0
//! A dead or stuck ambassador is out of the way: new connections go direct, and come back when it does.

use std::time::Duration;

use ambassador_tests::{Ambassador, Driver, Link, Witness, wait};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
/// A heartbeat of half a second's age is stale; the rest is for a machine that is busy otherwise.
const GRACE: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(10);

fn start() -> Result<(Link, Witness, Ambassador)> {
    let link = Link::new()?;
    let witness = Witness::start(&link.server, Link::v4(7001))?;
    let ambassador = Ambassador::run("-q")?;
    Ok((link, witness, ambassador))
}

/// Dials until a connection takes `path`; each attempt has its own bound of 400 ms.
fn until_path(driver: &mut Driver, witness: &Witness, path: &str, within: Duration) -> Result<()> {
    wait::until(&format!("a connection that is {path}"), within, || {
        Ok((driver.path_to(witness.address())? == path).then_some(()))
    })
}

#[test]
fn after_a_kill_the_next_connect_is_direct() -> Result<()> {
    let (link, witness, ambassador) = start()?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    ensure!(driver.path_to(witness.address())? == "proxied");
    driver.signal(Signal::SIGKILL)?;
    wait::until_true("no program after kill -9", Duration::from_secs(5), || {
        ambassador.cgroup.attached_programs() == 0
    })?;
    // The client is no child of the harness any more, but its pipes and its socket calls go on.
    ensure!(driver.path_to(witness.address())? == "direct");
    Ok(())
}

#[test]
fn a_stopped_proxy_is_passed_by_and_used_again_when_it_continues() -> Result<()> {
    let (link, witness, ambassador) = start()?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    ensure!(driver.path_to(witness.address())? == "proxied");
    for _ in 0..2 {
        driver.signal(Signal::SIGSTOP)?;
        // One attempt may still fall into the grace and hang until its own bound.
        until_path(&mut driver, &witness, "direct", GRACE)?;
        driver.signal(Signal::SIGCONT)?;
        until_path(&mut driver, &witness, "proxied", SOON)?;
    }
    driver.finish()?.expect_success()?;
    ambassador.cgroup.until_clean()
}

/// Whoever administers cgroups may put it there. Connections that it made would come back to it without end.
#[test]
fn a_proxy_that_is_moved_into_the_cgroup_of_its_program_still_dials_directly() -> Result<()> {
    let (link, witness, ambassador) = start()?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    let children = ambassador.cgroup.children();
    let cmd = children.iter().find(|group| group.ends_with("cmd")).context("a cgroup of the program")?;
    std::fs::write(cmd.join("cgroup.procs"), driver.pid().to_string())?;
    for _ in 0..3 {
        ensure!(driver.path_to(witness.address())? == "proxied");
    }
    driver.signal(Signal::SIGKILL)?;
    Ok(())
}

/// Stops and continues ambassador twice; in between `guarded` is refused and `other` is direct, else both are proxied.
fn refuses_while_stopped(policy: &str, guarded: u16, other: u16) -> Result<()> {
    let link = Link::new()?;
    let guarded = Witness::start(&link.server, Link::v4(guarded))?;
    let other = Witness::start(&link.server, Link::v4(other))?;
    let ambassador = Ambassador::with_policy("-q", policy)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    for _ in 0..2 {
        until_path(&mut driver, &guarded, "proxied", SOON)?;
        until_path(&mut driver, &other, "proxied", SOON)?;
        driver.signal(Signal::SIGSTOP)?;
        until_path(&mut driver, &guarded, "error ConnectionRefused", GRACE)?;
        ensure!(driver.path_to(other.address())? == "direct");
        ensure!(driver.path_to(guarded.address())? == "error ConnectionRefused");
        driver.signal(Signal::SIGCONT)?;
    }
    until_path(&mut driver, &guarded, "proxied", SOON)?;
    driver.signal(Signal::SIGKILL)?;
    wait::until_true("no program after kill -9", Duration::from_secs(5), || {
        ambassador.cgroup.attached_programs() == 0
    })?;
    ensure!(driver.path_to(guarded.address())? == "direct", "nothing is left that could refuse");
    Ok(())
}

#[test]
fn a_route_that_refuses_is_refused_while_the_proxy_is_stopped() -> Result<()> {
    let policy = "version: v1\nroutes:\n  - {name: guarded, match: {ports: [7002]}, onProxyDown: refuse}\n";
    refuses_while_stopped(policy, 7002, 7001)
}

#[test]
fn a_default_that_refuses_spares_the_route_that_is_to_be_passed_by() -> Result<()> {
    let policy = "version: v1\ndefaults: {onProxyDown: refuse}\nroutes:\n  \
                  - {name: spared, match: {cidrs: [10.77.0.0/24], ports: [7001]}, onProxyDown: bypass}\n";
    refuses_while_stopped(policy, 7002, 7001)
}

#[test]
fn connections_made_before_the_stop_go_on_after_it() -> Result<()> {
    let (link, witness, ambassador) = start()?;
    let address = witness.address().to_string();
    let mut process = ambassador.spawn(&link.client, &[CLIENT, "raw", &address])?;
    process.say("one")?;
    process.until_stdout("\n", Duration::from_secs(10))?;
    process.signal(Signal::SIGSTOP)?;
    process.say("two")?;
    process.signal(Signal::SIGCONT)?;
    let finished = process.finish(Duration::from_secs(10))?.expect_success()?;
    ensure!(finished.text().lines().count() == 2, "{}", finished.text());
    Ok(())
}

#[test]
fn a_connect_to_the_listener_itself_is_refused() -> Result<()> {
    // Nothing says where such a connection wants to go: it is answered as by a closed port, and nothing is guessed.
    let (link, _witness, ambassador) = start()?;
    let script = r#"
import os, re, socket
def listeners(table):
    lines = [re.split(r"\s+", line.strip()) for line in open(table).readlines()[1:]]
    found = {tuple(line[1].split(":")) for line in lines if line[3] == "0A"}
    assert found, "ambassador has no listener in this namespace"
    return found
v4 = [(socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)) for address, port in listeners("/proc/net/tcp")]
v6 = [("::1", int(port, 16)) for _, port in listeners("/proc/net/tcp6")]
for address in v4 + v6:
    try:
        s = socket.create_connection(address, 0.5)
        s.sendall(b"\0\1\2\3")
        print("data" if s.recv(1) else "end of file")
    except OSError as error:
        print(type(error).__name__)
"#;
    let finished = ambassador.output(&link.client, &["/usr/bin/python3", "-c", script])?.expect_success()?;
    ensure!(finished.text().lines().all(|line| line == "ConnectionRefusedError"), "{}", finished.text());
    Ok(())
}
