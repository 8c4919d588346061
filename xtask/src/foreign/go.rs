// SPDX-License-Identifier: Apache-2.0
//! The tests of packages of Go's standard library, from Debian's packages of Go, which are unpacked and not installed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::fetch::{cached, call};
use super::program::{Choice, Program, Report};
use crate::matrix::apt::Apt;

/// The tests of `package`, but for those whose names match `without`.
pub(super) fn program(package: &str, without: &str) -> Result<Program> {
    let (root, cache) = (root()?, cache()?);
    let directory = root.join("src").join(package);
    let binary = cache.join(format!("{}.test", package.replace('/', "-")));
    if !binary.exists() {
        let mut build = Command::new(root.join("bin/go"));
        build.args(["test", "-c", "-o"]).arg(&binary).arg(package).current_dir(&directory);
        build.env("GOROOT", &root).env("GOCACHE", cache.join("build")).env("GOPATH", cache.join("path"));
        build.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("CGO_ENABLED", "0");
        call(build.env("GOFLAGS", "-mod=vendor"))?;
    }
    let mut command = vec![binary.display().to_string()];
    // `short` leaves out what needs more network than a loopback.
    command.extend(
        ["-test.v", "-test.short", "-test.timeout", "600s", "-test.skip", without].map(str::to_owned),
    );
    Ok(Program {
        version: format!("Go {VERSION}, {package}"),
        command,
        choice: Choice::Go,
        environment: vec![("GOROOT", root.display().to_string())],
        directory,
        server: "",
        report: Report::Go,
    })
}

/// Where Go is.
pub(super) fn root() -> Result<PathBuf> {
    Ok(cache()?.join("usr/lib").join(format!("go-{VERSION}")))
}

fn cache() -> Result<PathBuf> {
    cached(&format!("go-{VERSION}"), |into| {
        let scratch = tempfile::tempdir()?;
        let apt = Apt::update(SUITE, scratch.path())?;
        for part in ["go", "src"] {
            let unpacked = apt.unpack(&format!("golang-{VERSION}-{part}"))?;
            call(Command::new("cp").arg("-a").arg(unpacked.join("usr")).arg(into))?;
        }
        Ok(())
    })
}

const VERSION: &str = "1.23";
/// The suite of Debian that has it.
const SUITE: &str = "bookworm-backports";
