// SPDX-License-Identifier: Apache-2.0
//! The file system of the virtual machines: busybox, ambassador and the guest, all linked statically.
//!
//! An initramfs is a `newc` archive (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel), which
//! is simple enough to be written here. It is not compressed: an emulated processor is slow to unpack.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::steps::{cargo, run_command, workspace};

/// Builds the programs and packs them.
pub(crate) fn build() -> Result<NamedTempFile> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the matrix boots kernels of x86-64, with programs of this machine"
    );
    println!("matrix: building ambassador and the guest, linked statically …");
    for arguments in [["--package=ambassador", "--bin=ambassador"], ["--package=xtask", "--bin=matrix-guest"]]
    {
        let mut build = cargo(&["build", "--quiet", "--target", TARGET]);
        // Only the programs of the target are built so: what cargo runs itself is shared with all other builds.
        run_command(build.args(arguments).env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    }
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "run", "sys", "tmp", "etc"] {
        archive.add(directory, DIRECTORY, &[]);
    }
    archive.add("init", PROGRAM, include_bytes!("init"));
    archive.add("etc/passwd", FILE, b"root:x:0:0:root:/tmp:/bin/sh\n");
    archive.add("etc/hosts", FILE, b"127.0.0.1 localhost\n::1 localhost\n");
    archive.add("bin/busybox", PROGRAM, &std::fs::read(busybox()?)?);
    archive.add("bin/ambassador", PROGRAM, &stripped("ambassador")?);
    archive.add("bin/guest", PROGRAM, &stripped("matrix-guest")?);
    let mut file = NamedTempFile::with_prefix("ambassador-matrix-")?;
    file.write_all(&archive.finish())?;
    Ok(file)
}

/// A program without its debugging information, of which the machine's memory is too small to hold much.
fn stripped(name: &str) -> Result<Vec<u8>> {
    let built = target_directory().join(TARGET).join("debug").join(name);
    let copy = NamedTempFile::new()?;
    run_command(Command::new("strip").arg("-o").arg(copy.path()).arg(&built))?;
    std::fs::read(copy.path()).with_context(|| format!("read the stripped {name}"))
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Both packages, `busybox` and `busybox-static`, have it here; only the second one runs alone.
fn busybox() -> Result<&'static Path> {
    let path = Path::new("/bin/busybox");
    let file = std::fs::read(path).context("no busybox: cargo xtask setup")?;
    let is_dynamic = file.windows(INTERPRETER.len()).any(|window| window == INTERPRETER);
    ensure!(!is_dynamic, "{} is not linked statically: apt-get install busybox-static", path.display());
    Ok(path)
}

/// A `newc` archive under construction.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let (links, size) = (1, content.len());
        let name_size = name.len() + 1;
        let number = self.entries;
        // Magic, inode, mode, uid, gid, links, mtime, size, four device numbers, size of the name, no checksum.
        let header = format!(
            "070701{number:08X}{mode:08X}{0:08X}{0:08X}{links:08X}{0:08X}{size:08X}{0:08X}{0:08X}{0:08X}{0:08X}{name_size:08X}{0:08X}",
            0
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
const INTERPRETER: &[u8] = b"/lib64/ld-linux";
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_headers_of_110_bytes_and_is_padded_to_four() {
        let mut archive = Archive::default();
        archive.add("a", FILE, b"hello");
        assert_eq!(archive.bytes.len(), 112 + 8);
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"07070100000001000081A4"));
        assert!(bytes.len().is_multiple_of(4));
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
