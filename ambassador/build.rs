// SPDX-License-Identifier: Apache-2.0
//! Refuses to build with a kernel object that does not belong to the sources beside it.
//!
//! The object is checked in, so that stable Rust is enough to build ambassador; this is what keeps it honest.

use std::{fs, io, path::Path, process::ExitCode};

#[path = "../ambassador-ebpf/sources.rs"]
mod sources;

fn main() -> ExitCode {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ambassador-ebpf");
    let prebuilt = crate_dir.join("prebuilt");
    println!("cargo::rerun-if-changed={}", prebuilt.display());
    println!("cargo::rerun-if-changed={}", crate_dir.join("src").display());
    println!("cargo::rerun-if-changed={}", crate_dir.join("Cargo.toml").display());
    match is_current(&crate_dir, &prebuilt) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(
            "ambassador-ebpf/prebuilt/ambassador.o was built from other sources than ambassador-ebpf/src",
        ),
        Err(error) => fail(&format!("ambassador-ebpf/prebuilt cannot be checked: {error}")),
    }
}

fn is_current(crate_dir: &Path, prebuilt: &Path) -> io::Result<bool> {
    fs::metadata(prebuilt.join("ambassador.o"))?;
    let recorded = fs::read_to_string(prebuilt.join("ambassador.o.sources.sha256"))?;
    Ok(recorded.trim() == sources::hash(crate_dir)?)
}

fn fail(reason: &str) -> ExitCode {
    println!("cargo::error={reason}; rebuild it: cargo xtask ebpf --install");
    ExitCode::FAILURE
}
