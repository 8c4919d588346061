// SPDX-License-Identifier: Apache-2.0
//! What other people have published, at a version that is written down, in a cache outside of the tree.
//!
//! A thing is either in the cache as a whole or not at all.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::steps::cache;

/// The directory `name` of the cache, made by `make` if it is not there.
pub(super) fn cached(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let path = cache()?.join("foreign").join(name);
    let whole = path.join("whole");
    if !whole.exists() {
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        println!("foreign: fetching {name}");
        make(&path).with_context(|| format!("{name} is neither in the cache nor to be had"))?;
        fs::write(&whole, "")?;
    }
    Ok(path)
}

/// Runs `command`, whose output is told if it fails.
pub(super) fn call(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    anyhow::ensure!(output.status.success(), "{}: {}", command.get_program().display(), said());
    Ok(())
}

/// The SHA-256 of `bytes`.
pub(super) fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
