// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask demo`: an unmodified client and three bad upstreams, first directly, then under `ambassador run`.
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

use crate::setup;
use crate::steps::{built, cargo, is_root, run_command};
use report::Run;
use upstream::Upstreams;

/// The verb.
pub(crate) fn run() -> Result<()> {
    if !is_root() {
        bail!("the demo loads kernel programs and makes network namespaces: sudo -E cargo xtask demo");
    }
    setup::of(&["curl", "iproute2", "util-linux"])?;
    println!("Building ambassador: some minutes the first time, then seconds.");
    run_command(&mut cargo(&["build", "--package", "ambassador"]))?;
    let interrupted = catch_signals()?;

    let script = client::script();
    println!("\nThe client is curl, unmodified. It makes the same requests twice, to");
    for (host, what) in upstream::ALL {
        println!("  {host:<24}{what}");
    }
    println!("1. directly: some 25 s …");
    let direct =
        measure(&interrupted, |link| Process::spawn(link.client.command("sh").args(["-c", &script])))?;

    let ambassador = Ambassador::with_policy(FLAGS, POLICY)?.program(built("ambassador"));
    println!("2. ambassador run {FLAGS} -c demo.yaml -- sh client.sh …");
    let under = measure(&interrupted, |link| ambassador.spawn(&link.client, &["sh", "-c", &script]))?;

    let direct = Run::of_direct(&direct.finished.text(), direct.hung)?;
    let under = Run::of_ambassador(&under.finished.text(), &under.finished.errors(), under.hung)?;
    println!("\ndemo.yaml:\n{POLICY}\n{}\n{WHY}\n\n{NEXT}", report::side_by_side(&direct, &under));
    Ok(())
}

/// Runs a client against upstreams that start from the same state each time; what it printed, and what reached the
/// upstream that hangs.
fn measure(interrupted: &AtomicBool, start: impl FnOnce(&Link) -> Result<Process>) -> Result<Measured> {
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
    let finished = client.finish(ambassador_tests::ambassador::LONG)?;
    let finished = finished.expect_success().context("the client did not run through")?;
    Ok(Measured { finished, hung: upstreams.hung() })
}

/// One run of the client.
struct Measured {
    finished: Finished,
    /// Requests that the upstream that hangs has seen.
    hung: usize,
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

const FLAGS: &str = "--retry 3 --per-try-timeout 400ms -o json";
const POLICY: &str = "version: v1
routes:
  - name: inventory   # it restarts now and then, which takes a moment: wait for it
    match: {ports: [8081]}
    retry: {attempts: 20, backoff: {base: 100ms, max: 500ms}}
  - name: reports     # when it hangs, waiting is in vain: find that out three times, then leave it alone
    match: {ports: [8082]}
    timeouts: {request: 300ms}
    retry: {attempts: 0}
    circuitBreaker: {consecutiveFailures: 3, waitDurationInOpenState: 30s}
";
const WHY: &str = "Retries hide what passes, short faults and a restart alike, for the price of some time. A circuit breaker
saves no request: where nothing helps, it makes failing quick and spares who is down. (This is a debug build: what
ambassador adds to the times is several times what a release does.)";
const NEXT: &str = "Where to look next:
  target/debug/ambassador run --help               your own program: sudo target/debug/ambassador run -- CMD
  target/debug/ambassador explain HOST:PORT -c F   which route and which values apply
  deploy/ambassador.yaml                           a configuration with every field, commented
  ARCHITECTURE.md                                  how a connection travels";
