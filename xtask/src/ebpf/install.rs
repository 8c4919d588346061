// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask ebpf --install`: brings what building the kernel object needs.
//!
//! On Debian, as root, from its packages; elsewhere it says what to run. It never installs another toolchain than
//! the one that it names.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{
    run_command,
    toolchain::{Toolchain, cargo_home, has_linker, is_on_path, output_of},
};

/// Installs the missing parts.
pub(crate) fn install() -> Result<()> {
    if !is_on_path("apt-get") || !nix::unistd::geteuid().is_root() {
        bail!("{ELSEWHERE}");
    }
    let mut packages = Vec::new();
    if Toolchain::candidates().is_empty() {
        packages.extend(COMPILER_PACKAGES);
    }
    if !has_linker() {
        packages.extend(LINKER_PACKAGES);
    }
    eprintln!("ebpf: apt-get update");
    run_command(apt_get().arg("update"))?;
    require_compiler(&packages)?;
    eprintln!("ebpf: apt-get install {}", packages.join(" "));
    run_command(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(&packages))?;
    if !has_linker() {
        install_linker()?;
    }
    Ok(())
}

fn require_compiler(packages: &[&str]) -> Result<()> {
    if !packages.contains(&COMPILER_PACKAGES[0]) {
        return Ok(());
    }
    let policy =
        output_of(Command::new("apt-cache").args(["policy", COMPILER_PACKAGES[0]])).unwrap_or_default();
    match candidate_version(&policy) {
        Some(version) if version >= MIN_COMPILER => Ok(()),
        Some((major, minor)) => bail!("{} is {major}.{minor}, too old. {ELSEWHERE}", COMPILER_PACKAGES[0]),
        None => bail!("this release has no package {}. {ELSEWHERE}", COMPILER_PACKAGES[0]),
    }
}

/// The `major.minor` of the line `Candidate: 1.96.0+dfsg1-1` of `apt-cache policy`.
fn candidate_version(policy: &str) -> Option<(u32, u32)> {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    let mut parts = candidate.trim().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn install_linker() -> Result<()> {
    eprintln!("ebpf: cargo install bpf-linker (about a minute)");
    let path = std::env::var_os("PATH").context("PATH is not set")?;
    let llvm_bin = std::iter::once(format!("{LLVM_PREFIX}/bin").into());
    let path = std::env::join_paths(llvm_bin.chain(std::env::split_paths(&path)))?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked"])
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_SYS_221_PREFIX", LLVM_PREFIX)
        .env("PATH", path);
    run_command(&mut command)?;
    if !has_linker() {
        let home = cargo_home().unwrap_or_default();
        bail!("bpf-linker was installed below {} but does not start", home.display());
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];
const LINKER_PACKAGES: [&str; 3] = ["llvm-22-dev", "libzstd-dev", "zlib1g-dev"];
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const LINKER_VERSION: &str = "0.13.0";
/// The oldest compiler whose LLVM is the linker's.
const MIN_COMPILER: (u32, u32) = (1, 96);
const ELSEWHERE: &str = "Run: rustup toolchain install nightly --component rust-src, then: \
     cargo install bpf-linker (or take a released binary). On Debian, as root, --install does it with packages";

#[cfg(test)]
mod tests {
    use super::candidate_version;

    #[test]
    fn the_candidate_of_apt_is_read() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n";
        assert_eq!(candidate_version(policy), Some((1, 96)));
        assert_eq!(candidate_version("rustc-web:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_version(""), None);
    }
}
