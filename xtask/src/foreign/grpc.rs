// SPDX-License-Identifier: Apache-2.0
//! The end-to-end tests of gRPC for Go, from Debian's packages of its source, built with the Go of the other suites.

use std::process::Command;

use anyhow::{Context, Result};

use super::fetch::{cached, call};
use super::go;
use super::program::{Choice, Program, Report};
use crate::matrix::apt::Apt;

/// All of them: calls of all kinds between clients and servers of one process.
pub(super) fn program() -> Result<Program> {
    let root = go::root()?;
    let cache = cached(&format!("grpc-go-{SUITE}"), |into| {
        let scratch = tempfile::tempdir()?;
        let apt = Apt::update(SUITE, scratch.path())?;
        for package in PACKAGES {
            let unpacked = apt.unpack(&format!("golang-{package}-dev"))?;
            call(Command::new("cp").arg("-a").arg(unpacked.join("usr")).arg(into))?;
        }
        let mut build = Command::new(root.join("bin/go"));
        build.args(["test", "-c", "-o"]).arg(into.join("grpc.test")).arg(PATH);
        build.env("GOROOT", &root).env("GOCACHE", into.join("build")).env("GOPATH", into.join(SOURCES));
        build.env("GOTOOLCHAIN", "local").env("GO111MODULE", "off").env("CGO_ENABLED", "0");
        call(&mut build).context("build them")
    })?;
    let command = [cache.join("grpc.test").display().to_string()].into_iter();
    let words = ["-test.v", "-test.timeout", "600s"].map(str::to_owned);
    Ok(Program {
        version: format!("gRPC for Go of {SUITE}"),
        command: command.chain(words).collect(),
        choice: Choice::Go,
        environment: Vec::new(),
        directory: cache.join(SOURCES).join("src").join(PATH),
        server: "",
        report: Report::Go,
    })
}

const SUITE: &str = "bookworm";
const PATH: &str = "google.golang.org/grpc/test";
/// Where the packages have Go's sources.
const SOURCES: &str = "usr/share/gocode";
/// What is built: `golang-…-dev`.
const PACKAGES: [&str; 10] = [
    "glog",
    "golang-x-net",
    "golang-x-oauth2",
    "golang-x-sys",
    "golang-x-text",
    "google-genproto",
    "google-grpc",
    "google-protobuf",
    "github-golang-protobuf-1-5",
    "github-google-go-cmp",
];
