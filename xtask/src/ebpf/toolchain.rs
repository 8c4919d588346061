// SPDX-License-Identifier: Apache-2.0
//! Finding a Rust toolchain that can build kernel programs: cargo, rustc and the library source that matches it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

/// A compiler with its own cargo and its library source. Both are called by absolute path: behind rustup's proxies
/// `cargo` would choose the compiler anew.
pub(crate) struct Toolchain {
    name: String,
    rustc: PathBuf,
    cargo: PathBuf,
}

impl Toolchain {
    /// The toolchains of this machine that have their library source, the preferred one first.
    pub(crate) fn candidates() -> Vec<Self> {
        [Self::rustup_nightly(), Self::system()].into_iter().flatten().filter(Self::has_source).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// This toolchain's cargo. `-Z build-std` and the eBPF target are unstable: a stable compiler is told that it
    /// may, which is harmless because its library source is its own.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1");
        for inherited in
            ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTUP_TOOLCHAIN", "CARGO"]
        {
            command.env_remove(inherited);
        }
        if let Some(path) = path_with_cargo_bin() {
            command.env("PATH", path);
        }
        command
    }

    pub(crate) fn sysroot(&self) -> Result<PathBuf> {
        let output = output_of(Command::new(&self.rustc).args(["--print", "sysroot"]));
        Ok(PathBuf::from(output.with_context(|| format!("ask {} for its sysroot", self.rustc.display()))?))
    }

    fn has_source(&self) -> bool {
        self.sysroot().is_ok_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core").is_dir())
    }

    fn rustup_nightly() -> Option<Self> {
        let which = |tool| output_of(Command::new("rustup").args(["which", "--toolchain", "nightly", tool]));
        let (rustc, cargo) = (which("rustc")?.into(), which("cargo")?.into());
        Some(Self { name: "rustup's nightly".to_owned(), rustc, cargo })
    }

    /// A distribution's packages, such as Debian's rustc-web with rust-web-src and cargo-web.
    fn system() -> Option<Self> {
        let (rustc, cargo) = (PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"));
        (rustc.exists() && cargo.exists()).then(|| Self {
            name: "the distribution's /usr/bin/rustc".to_owned(),
            rustc,
            cargo,
        })
    }
}

/// Whether bpf-linker is there and starts (it is linked to an LLVM that can be missing).
pub(crate) fn has_linker() -> bool {
    let mut command = Command::new("bpf-linker");
    if let Some(path) = path_with_cargo_bin() {
        command.env("PATH", path);
    }
    output_of(command.arg("--version")).is_some()
}

/// Cargo's directory of the current user.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let from_home = || env::home_dir().map(|home| home.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(from_home)
}

/// `PATH` with the directory of `cargo install` first, which need not be on it.
fn path_with_cargo_bin() -> Option<std::ffi::OsString> {
    let path = env::var_os("PATH")?;
    let directories = std::iter::once(cargo_home()?.join("bin")).chain(env::split_paths(&path));
    env::join_paths(directories).ok()
}

/// The trimmed standard output of a command that succeeds.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether a program is on `PATH`.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| Path::new(&directory).join(program).is_file())
}
