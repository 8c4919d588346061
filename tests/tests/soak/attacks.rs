// SPDX-License-Identifier: Apache-2.0
//! All attacks at once, for longer than any limit of ambassador's own.

use std::time::Duration;

use ambassador_tests::two_sided::{self, PEERS, Script};
use ambassador_tests::{Attack, Nginx, Process, Siege, wait};
use anyhow::{Result, ensure};

use crate::{answering, progress, siege};

const SECONDS: u64 = 90;
const SOON: Duration = Duration::from_secs(30);
/// Of HTTP/2: each is sent away, and comes again at once for as long as the others last.
const FLOODS: [&str; 4] = ["rapid-reset", "made-you-reset", "continuation", "hpack"];

/// Starts one of them.
fn flood(siege: &Siege, name: &str) -> Result<(Process, Script)> {
    let prelude = format!("{PEERS}\n{}", two_sided::FLOODS);
    let attack = format!("SECONDS = {SECONDS}\nADDRESS = ('10.77.0.2', {})\nflood('{name}')", Nginx::HTTP2);
    let script = Script::new(&prelude, &attack)?;
    Ok((siege.attack(&script.program())?, script))
}

#[test]
fn all_attacks_at_once_for_more_than_a_minute() -> Result<()> {
    let mut siege = siege()?;
    let _origin = answering(&siege)?;
    let _nginx = Nginx::start(&siege.link.server)?;
    let ordeal = siege.withstand(|siege| {
        let floods = FLOODS.map(|name| flood(siege, name)).into_iter().collect::<Result<Vec<_>>>()?;
        let attacks = [("slowloris", 400), ("half_bodies", 200), ("idle", 2000), ("endless_heads", 5)];
        let attacks = attacks.map(|(name, count)| Attack::begin(siege, name, count));
        let attacks = attacks.into_iter().collect::<Result<Vec<_>>>()?;
        for seconds in (10..=SECONDS).step_by(10) {
            wait::pass(Duration::from_secs(10));
            progress(&format!("{seconds} s: {:?}", siege.footprint()?));
        }
        let said = attacks.into_iter().map(Attack::end).collect::<Result<Vec<_>>>()?;
        progress(&said.join("; "));
        for ((process, _script), name) in floods.into_iter().zip(FLOODS) {
            let said = process.finish(SOON)?.expect_success()?.text();
            progress(said.trim_end());
            ensure!(said.starts_with(&format!("{name} True ")) && said.contains("goaway 11 x"), "{said}");
        }
        // A program that is slow is served in its own time; nobody was cut off for somebody else's sake.
        ensure!(said[0] == "400 of 400 open" && said[2] == "2000 of 2000 open", "{said:?}");
        Ok(())
    })?;
    progress(&format!("{ordeal:?}"));
    Ok(())
}
