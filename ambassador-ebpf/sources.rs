// SPDX-License-Identifier: Apache-2.0
//! The hash that ties the checked-in kernel object to the sources that it was built from.
//!
//! Included by `ambassador/build.rs`, which refuses an object of other sources, and by `cargo xtask ebpf`, which
//! writes the hash beside the object. It covers this crate's manifest and everything below `src`; the host tests do
//! not change the object.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Every file that the kernel object depends on, below the crate's directory, in a stable order.
pub(super) fn files(crate_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![crate_dir.join("Cargo.toml")];
    let mut pending = vec![crate_dir.join("src")];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The hash of the sources, in lower-case hex: of each file its relative path, its length and its content.
pub(super) fn hash(crate_dir: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for file in files(crate_dir)? {
        let content = fs::read(&file)?;
        let relative = file.strip_prefix(crate_dir).map_err(io::Error::other)?;
        hash.update(relative.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(u64::try_from(content.len()).map_err(io::Error::other)?.to_le_bytes());
        hash.update(content);
    }
    let mut hex = String::new();
    for byte in hash.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}
