// SPDX-License-Identifier: Apache-2.0
//! Nothing is left of an attack that has ended, however often it is repeated.

use std::time::Duration;

use ambassador_tests::{Attack, Process};
use anyhow::{Result, ensure};

use crate::{answering, progress, siege};

#[test]
fn neither_memory_nor_open_files_creep() -> Result<()> {
    let mut siege = siege()?;
    let _origin = answering(&siege)?;
    // Half of the ports towards one destination wait out a minute after six rounds, and the kernel then looks long for
    // a free one, whoever connects.
    let mut reuse = siege.link.client.command("sysctl");
    Process::run(reuse.args(["-qw", "net.ipv4.tcp_tw_reuse=1"]), SOON)?.expect_success()?;
    let mut settled = None;
    for round in 1..=ROUNDS {
        siege.withstand(|siege| {
            for (name, count) in
                [("slowloris", 200), ("half_bodies", 100), ("idle", 1000), ("many_headers", 100)]
            {
                Attack::begin(siege, name, count)?.end()?;
            }
            Attack::begin(siege, "queue", 1000)?.until("answered", SOON).map(drop)
        })?;
        let now = siege.footprint()?;
        progress(&format!("round {round} of {ROUNDS}: {now:?}"));
        if round == WARM {
            settled = Some(now);
        }
        if let Some(settled) = settled {
            ensure!(now.resident < settled.resident + CREEP, "memory: {settled:?} then {now:?}");
            ensure!(now.files <= settled.files + 4, "open files: {settled:?} then {now:?}");
        }
    }
    Ok(())
}

const SOON: Duration = Duration::from_secs(30);
const ROUNDS: u32 = 25;
/// After so many rounds the allocator has met everything.
const WARM: u32 = 5;
/// In bytes.
const CREEP: u64 = 16 << 20;
