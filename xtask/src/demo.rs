// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask demo`: an unmodified client and a flaky upstream, first directly, then under `ambassador run`.
//!
//! Everything lives in two network namespaces of its own and is gone afterwards, also after Ctrl-C or a failure.

mod client;
mod report;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ambassador_tests::{Ambassador, Finished, Link, Process};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::steps::{built, cargo, is_root, run_command};
use report::Run;
use upstream::Upstreams;

/// The verb.
pub(crate) fn run() -> Result<()> {
    if !is_root() {
        bail!("the demo loads kernel programs and makes network namespaces: sudo -E cargo xtask demo");
    }
    println!("Building ambassador …");
    run_command(&mut cargo(&["build", "--quiet", "--package", "ambassador"]))?;
    let interrupted = catch_signals()?;

    let client = client::script()?;
    println!("The client is {}; it dials {} and {}.", client.name, upstream::FLAKY, upstream::RESTARTING);
    println!("1. directly …");
    let direct =
        measure(&interrupted, |link| Process::spawn(link.client.command("sh").args(["-c", &client.script])))?;

    let ambassador =
        Ambassador::with_policy(FLAGS, POLICY)?.program(built("ambassador")).env("AMBASSADOR_LOG", "info");
    println!("2. ambassador run {FLAGS} -c demo.yaml -- {} …", client.name);
    let under = measure(&interrupted, |link| ambassador.spawn(&link.client, &["sh", "-c", &client.script]))?;

    let direct = Run::of_direct(&direct.text())?;
    let under = Run::of_ambassador(&under.text(), &under.errors())?;
    println!("\ndemo.yaml:\n{POLICY}\n{}\n{BREAKER}\n\n{NEXT}", report::side_by_side(&direct, &under));
    Ok(())
}

/// Runs a client against upstreams that start from the same state each time.
fn measure(interrupted: &AtomicBool, start: impl FnOnce(&Link) -> Result<Process>) -> Result<Finished> {
    let mut link = Link::new()?;
    link.client.set_hosts(&upstream::HOSTS)?;
    let mut upstreams = Upstreams::start(&link)?;
    let mut client = start(&link)?;
    while client.is_running() {
        if interrupted.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        upstreams.tick(&link)?;
    }
    client
        .finish(ambassador_tests::ambassador::LONG)?
        .expect_success()
        .context("the client did not run through")
}

/// From now on Ctrl-C sets a flag, so that the guards of everything that was started run.
fn catch_signals() -> Result<Arc<AtomicBool>> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().context("block the signals that end a program")?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        let _ = signals.wait();
        flag.store(true, Ordering::SeqCst);
    });
    Ok(interrupted)
}

const FLAGS: &str = "--retry 3 --per-try-timeout 400ms --breaker 5 -o json";
const POLICY: &str = "version: v1
routes:
  - name: inventory
    match: {ports: [8081]}
    circuitBreaker: {consecutiveFailures: 5, waitDurationInOpenState: 500ms}
";
const BREAKER: &str =
    "A circuit breaker saves no request of an outage: it makes failing quick, and spares who is down.";
const NEXT: &str = "Where to look next:
  target/debug/ambassador run --help               your own program: sudo target/debug/ambassador run -- CMD
  target/debug/ambassador explain HOST:PORT -c F   which route and which values apply
  deploy/ambassador.yaml                           a commented configuration
  ARCHITECTURE.md                                  how a connection travels";
