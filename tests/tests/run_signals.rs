// SPDX-License-Identifier: Apache-2.0
//! The command has its signals as the caller had them, and ambassador does not act on what its caller ignores.

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Answer, FaultUpstream, Finished, Link, Namespace, Process, wait};
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

/// The blocked, ignored and caught signals of the process itself.
const SIGNALS: [&str; 3] = ["awk", "/^Sig(Blk|Ign|Cgt)/ {print $2}", "/proc/self/status"];
/// Signals 32 and 33, which belong to the C library and no program can ask for.
const OF_LIBC: u64 = 0x1_8000_0000;

fn masks(finished: Finished) -> Result<Vec<u64>> {
    let text = finished.expect_success()?.text();
    text.lines().map(|mask| Ok(u64::from_str_radix(mask, 16)? & !OF_LIBC)).collect()
}

#[test]
fn the_command_ignores_and_blocks_what_its_caller_does() -> Result<()> {
    let namespace = Namespace::new("signals")?;
    for (signals, ignored) in
        [("WINCH", 1_u64 << 27), ("PIPE", 1 << 12), ("CHLD", 1 << 16), ("INT,PIPE,CHLD", 0x1_1002)]
    {
        let mut direct = namespace.command("env");
        direct.arg(format!("--ignore-signal={signals}")).args(SIGNALS);
        let direct = masks(Process::run(&mut direct, LONG)?)?;
        ensure!(direct == [0, ignored, 0], "{signals}: {direct:x?}");
        let under = masks(Ambassador::run("-q")?.ignoring(signals).output(&namespace, &SIGNALS)?)?;
        ensure!(direct == under, "{signals}: {direct:x?} {under:x?}");
    }
    Ok(())
}

#[test]
fn the_exit_code_is_known_also_to_a_caller_that_ignores_its_children() -> Result<()> {
    let namespace = Namespace::new("signals")?;
    let ambassador = Ambassador::run("-q")?.ignoring("CHLD");
    ambassador.output(&namespace, &["sh", "-c", "exit 7"])?.expect_code(7)?;
    Ok(())
}

/// What is written to a socket that its other end has closed must not end the proxy.
#[test]
fn the_proxy_ignores_sigpipe_in_every_mode() -> Result<()> {
    let namespace = Namespace::new("signals")?;
    for flags in ["-q", "-q --mode off", "-q --mode shadow --retry 1"] {
        let ignored = "awk '/^SigIgn/ {print $2}' /proc/$PPID/status";
        let masks = masks(Ambassador::run(flags)?.output(&namespace, &["sh", "-c", ignored])?)?;
        ensure!(matches!(masks[..], [mask] if mask & 1 << 12 != 0), "{flags}: {masks:x?}");
    }
    Ok(())
}

#[test]
fn a_signal_that_the_caller_ignores_does_not_leave_the_orphans() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |arrival| {
        Answer::status(if arrival.index == 0 { 503 } else { 200 }).into()
    })?;
    let directory = tempfile::tempdir()?;
    let (gate, result) = (directory.path().join("gate"), directory.path().join("result"));
    let orphan = format!(
        "(while [ ! -e {} ]; do sleep 0.05; done; curl -s -o /dev/null -w '%{{http_code}}' {} > {}) >/dev/null 2>&1 &",
        gate.display(),
        Link::url(origin.address().port(), "/"),
        result.display()
    );
    let ambassador = Ambassador::run("--retry 3")?.ignoring("INT");
    let process = ambassador.spawn(&link.client, &["sh", "-c", &orphan])?;
    wait::until_true("the word about orphans", LONG, || {
        process.stderr().contains("and left these processes")
    })?;
    process.signal(Signal::SIGINT)?;
    std::fs::write(&gate, "")?;
    process.finish(LONG)?.expect_success()?;
    ensure!(std::fs::read_to_string(&result)? == "200", "the orphan's request was not retried");
    ambassador.cgroup.until_clean()
}
