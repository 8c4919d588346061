// SPDX-License-Identifier: Apache-2.0
//! A machine that gives little: few open files, little memory.

use std::time::{Duration, Instant};

use ambassador_tests::ambassador::LONG;
use ambassador_tests::memory_limit::MemoryLimit;
use ambassador_tests::{Ambassador, Answer, Attack, FaultUpstream, Link, Siege, wait};
use anyhow::{Result, ensure};

use crate::clients::taking;
use crate::origins::gigabytes;
use crate::{CLIENT, attack, everywhere};

const SOON: Duration = Duration::from_secs(30);
const FEW_FILES: &str = "ulimit -n 256";
/// After open files ran out.
const RECOVERY: Duration = Duration::from_secs(5);

fn answering(siege: &Siege) -> Result<FaultUpstream> {
    FaultUpstream::start(&siege.link.server, Link::v4(Attack::PORT), |_| Answer::status(204).body("").into())
}

fn with_few_files() -> Result<Siege> {
    Siege::lay(Ambassador::run("-q")?.first(FEW_FILES), CLIENT)
}

#[test]
fn without_open_files_programs_wait_and_nothing_spins() -> Result<()> {
    let mut siege = with_few_files()?;
    let origin = answering(&siege)?;
    let crowd = Attack::begin(&siege, "crowd", 1000)?;
    wait::until_true("as many flows as fit", SOON, || origin.count() >= 25)?;
    let before = siege.footprint()?;
    wait::pass(Duration::from_secs(2));
    let after = siege.footprint()?;
    ensure!(after.files <= 256, "{after:?}");
    let spun = after.processor.saturating_sub(before.processor);
    ensure!(spun < Duration::from_millis(300), "{spun:?} of processor time in 2 s, for nothing");

    // Those that were served stay, the others wait; nobody was told anything wrong.
    let said = crowd.end()?;
    ensure!(said.contains(" 0 failed, "), "{said}");
    let released = Instant::now();
    let ordeal = siege.during(|_| Ok(()))?;
    ensure!(ordeal.failed == 0 && ordeal.worst < RECOVERY, "{ordeal:?}");
    // The bystander, memory and processor: all of it.
    siege.recovers_within(RECOVERY.saturating_sub(released.elapsed()))
}

#[test]
fn without_open_files_programs_are_served_one_after_the_other() -> Result<()> {
    let mut siege = with_few_files()?;
    let origin = answering(&siege)?;
    siege.withstand(|siege| {
        let said = Attack::begin(siege, "queue", 1000)?.until("answered", LONG)?;
        ensure!(said.contains("1000 answered, 0 failed, 0 wait"), "{said}");
        Ok(())
    })?;
    ensure!(origin.count() == 1000);
    let files = siege.footprint()?.files;
    ensure!(files <= siege.calm().files + 130, "{files} open files are left of {:?}", siege.calm());
    Ok(())
}

#[test]
fn connections_that_are_kept_give_way_when_open_files_run_out() -> Result<()> {
    let policy = "version: v1\nroutes: [{name: all, connectionPool: {maxConnections: 1000}}]\n";
    let ambassador = Ambassador::with_policy("-q", policy)?.first(FEW_FILES);
    let mut siege = Siege::lay(ambassador, CLIENT)?;
    let _origin = everywhere(&siege)?;
    siege.withstand(|siege| {
        let said = Attack::begin(siege, "wander", 600)?.until("answered", LONG)?;
        ensure!(said.contains("600 answered"), "{said}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn little_memory_is_enough() -> Result<()> {
    let limit = MemoryLimit::new(64 << 20)?;
    let mut siege = Siege::lay(Ambassador::run("-q")?.first(&limit.commands()), CLIENT)?;
    let _origin = answering(&siege)?;
    for (name, count) in [("slowloris", 400), ("half_bodies", 200), ("idle", 2000), ("big_headers", 100)] {
        siege.withstand(|siege| attack(siege, name, count).map(drop))?;
    }
    siege.lift()?;
    Ok(())
}

#[test]
fn little_memory_is_enough_for_slow_readers() -> Result<()> {
    let limit = MemoryLimit::new(64 << 20)?;
    let mut siege = Siege::lay(Ambassador::run("-q")?.first(&limit.commands()), CLIENT)?;
    let (_origin, _written) = gigabytes(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "slow_readers", 40)?;
        ensure!(said == "40 of 40 open", "{said}");
        Ok(())
    })?;
    siege.lift()?;
    Ok(())
}

#[test]
fn little_memory_is_enough_for_half_bodies_that_are_kept_for_a_replay() -> Result<()> {
    let limit = MemoryLimit::new(64 << 20)?;
    let mut siege = Siege::lay(Ambassador::run("-q --retry 3")?.first(&limit.commands()), CLIENT)?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "half_bodies", 200)?;
        ensure!(said == "200 of 200 open", "{said}");
        Ok(())
    })?;
    siege.lift()?;
    Ok(())
}
