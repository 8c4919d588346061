// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask ebpf [--install]`: builds the kernel object from source and checks it in.
//!
//! Kernel programs need the library source of exactly the compiler that builds them, and bpf-linker; nobody else
//! needs either, because the result lies in `ambassador-ebpf/prebuilt`. The object carries no path of the machine
//! that built it and no DWARF (the verifier's line information, BTF, stays).

mod install;
mod strip;
mod toolchain;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::sources;
use toolchain::Toolchain;

/// Builds the kernel object; with `install`, brings the toolchain that is missing first.
pub(crate) fn run(install: bool) -> Result<()> {
    let root = workspace_root()?;
    let mut candidates = Toolchain::candidates();
    if (candidates.is_empty() || !toolchain::has_linker()) && install {
        install::install()?;
        candidates = Toolchain::candidates();
    }
    if !toolchain::has_linker() {
        bail!("bpf-linker does not run; `cargo xtask ebpf --install` brings it");
    }
    if candidates.is_empty() {
        bail!("no Rust toolchain with its library source; `cargo xtask ebpf --install` brings one");
    }
    let object = build_with_first(&root, &candidates)?;
    publish(&root, &object)
}

/// A toolchain can be there and yet not fit the linker's LLVM, so the next one gets its turn.
fn build_with_first(root: &Path, candidates: &[Toolchain]) -> Result<PathBuf> {
    let mut last = None;
    for toolchain in candidates {
        eprintln!("ebpf: building with {}", toolchain.name());
        match build(root, toolchain) {
            Ok(object) => return Ok(object),
            Err(error) => {
                eprintln!("ebpf: {}: {error:#}", toolchain.name());
                last = Some(error);
            }
        }
    }
    Err(last.context("no toolchain to build with")?)
}

fn build(root: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let target_dir = root.join("target/ebpf");
    let mut command = toolchain.cargo();
    command
        .current_dir(root)
        .args(["build", "--locked", "--release", "-Z", "build-std=core"])
        .args(["--package", "ambassador-ebpf", "--bin", BIN, "--features", "programs"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(root, toolchain)?)
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "full")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    run_command(&mut command)?;
    Ok(target_dir.join(TARGET).join("release").join(BIN))
}

/// The flags of every crate of the object; the separator is that of `CARGO_ENCODED_RUSTFLAGS`.
fn rustflags(root: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let mut flags: Vec<OsString> = vec![
        "-Clinker=bpf-linker".into(),
        "-Clink-arg=--btf".into(),
        // The programs touch no register of the machine; one value makes one object for every architecture.
        "--cfg=bpf_target_arch=\"x86_64\"".into(),
    ];
    flags.push(remap(root, "."));
    flags.push(remap(&toolchain.sysroot()?, "/rust"));
    for directory in registry_sources()? {
        flags.push(remap(&directory, "/crates"));
    }
    Ok(flags.join(std::ffi::OsStr::new("\x1f")))
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Where cargo unpacks crates: one directory per registry, whose name is nobody's business.
fn registry_sources() -> Result<Vec<PathBuf>> {
    let cargo_home = toolchain::cargo_home().context("neither CARGO_HOME nor HOME is set")?;
    let sources = cargo_home.join("registry/src");
    let Ok(entries) = fs::read_dir(&sources) else { return Ok(Vec::new()) };
    let mut directories = Vec::new();
    for entry in entries {
        directories.push(entry.with_context(|| format!("read {}", sources.display()))?.path());
    }
    directories.sort();
    Ok(directories)
}

/// Strips the object and puts it beside the hash of its sources.
fn publish(root: &Path, built: &Path) -> Result<()> {
    let crate_dir = root.join("ambassador-ebpf");
    let data = fs::read(built).with_context(|| format!("read {}", built.display()))?;
    let stripped = strip::strip_debug(&data)?;
    let prebuilt = crate_dir.join("prebuilt");
    fs::create_dir_all(&prebuilt).with_context(|| format!("create {}", prebuilt.display()))?;
    let object = prebuilt.join("ambassador.o");
    fs::write(&object, &stripped).with_context(|| format!("write {}", object.display()))?;
    let hash_file = prebuilt.join("ambassador.o.sources.sha256");
    let hash = sources::hash(&crate_dir).context("hash the sources of the kernel object")?;
    fs::write(&hash_file, format!("{hash}\n")).with_context(|| format!("write {}", hash_file.display()))?;
    eprintln!("ebpf: {} ({} bytes), sources {}", object.display(), stripped.len(), &hash[..12]);
    Ok(())
}

fn run_command(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}

fn workspace_root() -> Result<PathBuf> {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest_dir.parent().context("xtask lies directly below the workspace")?.to_owned())
}

const BIN: &str = "ambassador-programs";
const TARGET: &str = "bpfel-unknown-none";
