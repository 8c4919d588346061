// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask setup`: installs the servers and clients of the end-to-end tests, and only those that lack.
//!
//! Debian starts a server when it is installed; that is prevented for the time of the installation only.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::{is_root, run_command};

/// Installs what [`missing`] names; asks nothing.
pub(crate) fn run() -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        println!("setup: nothing lacks");
        return Ok(());
    }
    install(&packages)
}

/// Installs those of `packages` that lack, and only says something if one does.
pub(crate) fn of(packages: &[&str]) -> Result<()> {
    let mut lacking = missing();
    lacking.retain(|package| packages.contains(package));
    if lacking.is_empty() { Ok(()) } else { install(&lacking) }
}

fn install(packages: &[&str]) -> Result<()> {
    if !is_root() {
        bail!("setup installs packages: sudo -E cargo xtask setup (missing: {})", packages.join(" "));
    }
    let _no_services = ServicesHeld::hold()?;
    println!("setup: apt-get update");
    run_command(Command::new("apt-get").args(["update", "-qq"]))?;
    println!("setup: apt-get install {}", packages.join(" "));
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]).args(packages);
    run_command(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    println!("setup: installed {}", packages.join(" "));
    Ok(())
}

/// The Debian packages whose program is not there.
pub(crate) fn missing() -> Vec<&'static str> {
    let lacks = |(_, program): &&(&str, &str)| !exists(program);
    PACKAGES.iter().filter(lacks).map(|(package, _)| *package).collect()
}

/// Whether `program` is on PATH, or is there as a path whose last directory may be of any version.
fn exists(program: &str) -> bool {
    if let Some((parent, rest)) = program.split_once("/*/") {
        let Ok(versions) = std::fs::read_dir(parent) else { return false };
        return versions.flatten().any(|version| version.path().join(rest).is_file());
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|directory| Path::new(directory).join(program).is_file())
}

/// While it lives, no service is started by an installation (`policy-rc.d`, Debian Policy 9.3.3). A policy that the
/// machine has already is left alone.
struct ServicesHeld {
    written: bool,
}

impl ServicesHeld {
    fn hold() -> Result<Self> {
        let written = !Path::new(POLICY).exists();
        if written {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
            std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { written })
    }
}

impl Drop for ServicesHeld {
    fn drop(&mut self) {
        if self.written {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Package and the program by which its presence is known.
const PACKAGES: [(&str, &str); 28] = [
    ("binutils", "strip"),
    ("busybox-static", "busybox"),
    ("curl", "curl"),
    ("haproxy", "haproxy"),
    ("default-jdk-headless", "/usr/bin/javac"),
    ("iproute2", "ip"),
    ("mariadb-client-core", "mariadb"),
    ("mariadb-server-core", "mariadbd"),
    ("nghttp2-client", "h2load"),
    ("nftables", "nft"),
    ("libnginx-mod-stream", "/usr/lib/nginx/modules/ngx_stream_module.so"),
    ("nginx", "nginx"),
    ("openssl", "openssl"),
    ("postgresql", "/usr/lib/postgresql/*/bin/postgres"),
    ("procps", "sysctl"),
    ("prometheus", "promtool"),
    ("python3", "/usr/bin/python3"),
    ("python3-grpcio", "/usr/lib/python3/dist-packages/grpc/__init__.py"),
    ("python3-hpack", "/usr/lib/python3/dist-packages/hpack/__init__.py"),
    ("python3-hyperframe", "/usr/lib/python3/dist-packages/hyperframe/__init__.py"),
    ("python3-pip", "/usr/lib/python3/dist-packages/pip/__init__.py"),
    ("python3-psycopg2", "/usr/lib/python3/dist-packages/psycopg2/__init__.py"),
    ("qemu-system-x86", "qemu-system-x86_64"),
    ("redis-server", "redis-server"),
    ("redis-tools", "redis-benchmark"),
    ("util-linux", "nsenter"),
    ("valgrind", "valgrind"),
    ("wrk", "wrk"),
];
