// SPDX-License-Identifier: Apache-2.0
//! All attacks at once, for longer than any limit of ambassador's own.

use std::time::Duration;

use ambassador_tests::{Attack, wait};
use anyhow::{Result, ensure};

use crate::{answering, progress, siege};

#[test]
fn all_attacks_at_once_for_more_than_a_minute() -> Result<()> {
    let mut siege = siege()?;
    let _origin = answering(&siege)?;
    let ordeal = siege.withstand(|siege| {
        let attacks = [("slowloris", 400), ("half_bodies", 200), ("idle", 2000), ("endless_heads", 5)];
        let attacks = attacks.map(|(name, count)| Attack::begin(siege, name, count));
        let attacks = attacks.into_iter().collect::<Result<Vec<_>>>()?;
        for seconds in (10..=90).step_by(10) {
            wait::pass(Duration::from_secs(10));
            progress(&format!("{seconds} s: {:?}", siege.footprint()?));
        }
        let said = attacks.into_iter().map(Attack::end).collect::<Result<Vec<_>>>()?;
        progress(&said.join("; "));
        // A program that is slow is served in its own time; nobody was cut off for somebody else's sake.
        ensure!(said[0] == "400 of 400 open" && said[2] == "2000 of 2000 open", "{said:?}");
        Ok(())
    })?;
    progress(&format!("{ordeal:?}"));
    Ok(())
}
