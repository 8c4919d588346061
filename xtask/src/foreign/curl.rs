// SPDX-License-Identifier: Apache-2.0
//! curl's own tests, from Debian's source package, built here with the servers that they dial.

use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use super::fetch::{cached, call};
use super::program::{Choice, Program, Report};
use crate::matrix::apt::Apt;

/// The tests that need no server beside curl's own, and no patience.
pub(super) fn program() -> Result<Program> {
    let cache = cached(&format!("curl-{SUITE}"), |into| {
        let scratch = tempfile::tempdir()?;
        let sources = Apt::update_with_sources(SUITE, scratch.path())?.source("curl", scratch.path())?;
        let tree = into.join("curl");
        call(Command::new("cp").arg("-a").arg(sources).arg(&tree))?;
        let jobs = available_parallelism().map_or(1, usize::from).to_string();
        call(Command::new("./configure").args(CONFIGURATION).current_dir(&tree))?;
        for directory in [tree.clone(), tree.join("tests")] {
            call(Command::new("make").args(["--silent", "--jobs", &jobs]).current_dir(directory))?;
        }
        Ok(())
    })
    .context("it is built with gcc, make, perl and the headers of OpenSSL and zlib")?;
    let words = ["perl", "-I.", "./runtests.pl", "-a", "-n", "-s"];
    Ok(Program {
        version: format!("curl of {SUITE}"),
        command: words.iter().chain(&WITHOUT).map(|&word| word.to_owned()).collect(),
        choice: Choice::Words(&["1", "to", "1400"]),
        // Its servers for SSH take the name from here.
        environment: vec![("USER", "root".to_owned())],
        directory: cache.join("curl/tests"),
        server: "",
        report: Report::Curl,
    })
}

/// The suite of Debian whose curl it is.
const SUITE: &str = "bookworm";
/// What the tests that are run need.
const CONFIGURATION: [&str; 7] = [
    "--with-openssl",
    "--disable-ldap",
    "--without-libpsl",
    "--without-brotli",
    "--without-zstd",
    "--without-nghttp2",
    "--disable-shared",
];
/// Keywords of tests that are left out.
const WITHOUT: [&str; 8] =
    ["!flaky", "!SFTP", "!SCP", "!SMB", "!TFTP", "!MQTT", "!unittest", "!source analysis"];
