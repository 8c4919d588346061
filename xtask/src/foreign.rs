// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask foreign [SUITE]`: other people's test suites, directly and through ambassador, test by test.
//!
//! It exists because nobody who built ambassador has written what they ask for. They are Python's own network tests,
//! whose clients and servers share a process, so loopback is intercepted for them. What may differ is listed here with
//! its reason; anything else fails the verb.

mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{built, cargo, is_root, run_command, workspace};
use results::Results;

/// Runs one suite, or all, in every mode.
pub(crate) fn run(suite: Option<&str>) -> Result<()> {
    ensure!(is_root(), "the suites run under ambassador in network namespaces: sudo -E cargo xtask foreign");
    let names: Vec<_> = SUITES.iter().map(|(name, _)| *name).collect();
    let chosen: Vec<_> = SUITES.iter().filter(|(name, _)| suite.is_none_or(|suite| suite == *name)).collect();
    ensure!(!chosen.is_empty(), "no such suite; there are: {}", names.join(" "));
    let python = python()?;
    run_command(&mut cargo(&["build", "--quiet", "--package", "ambassador"]))?;
    let room = workspace().join("target/foreign");
    fs::create_dir_all(&room)?;
    let config = room.join("loopback.yaml");
    fs::write(&config, "version: v1\nintercept: {loopback: true}\n")?;
    let mut unexplained = 0;
    println!(
        "{:10} {:32} {:>6} {:>6} {:>10} {:>10}",
        "suite", "mode", "tests", "equal", "explained", "different"
    );
    for (name, modules) in chosen {
        let direct = once(&python, &room, &[], modules)?;
        for flags in MODES {
            let ambassador = built("ambassador").display().to_string();
            let mut prefix = vec![ambassador, "run".to_owned(), "-q".to_owned()];
            prefix.extend(["-c".to_owned(), config.display().to_string()]);
            prefix.extend(flags.split_whitespace().map(str::to_owned));
            prefix.push("--".to_owned());
            let under = once(&python, &room, &prefix, modules)?;
            unexplained += compare(name, flags, &direct, &under);
        }
    }
    if unexplained > 0 {
        bail!("{unexplained} tests differ and nobody knows why");
    }
    Ok(())
}

/// Prints a row, and a line for each test that differs; returns how many of them are not explained.
fn compare(suite: &str, flags: &str, direct: &Results, under: &Results) -> usize {
    let differing = direct.differing(under);
    let why = |test: &str| EXPLAINED.iter().find(|(part, _)| test.ends_with(part)).map(|(_, why)| *why);
    let explained = differing.iter().filter(|(test, ..)| why(test).is_some()).count();
    let (tests, unexplained) = (direct.len(), differing.len() - explained);
    let mode = if flags.is_empty() { "no configuration" } else { flags };
    let equal = tests.saturating_sub(differing.len());
    println!("{suite:10} {mode:32} {tests:6} {equal:6} {explained:10} {unexplained:10}");
    for (test, was, is) in differing {
        println!("    {test}: {was:?}, under ambassador {is:?} ({})", why(&test).unwrap_or("unexplained"));
    }
    unexplained
}

/// One run in a network namespace of its own.
fn once(python: &Path, room: &Path, prefix: &[String], modules: &str) -> Result<Results> {
    let report = room.join("report.xml");
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"]);
    command.args(["timeout", "600"]).args(prefix).arg(python).args(["-m", "test", "--timeout", "300"]);
    command.args(["-u", "network", "-i", "*VSOCK*", "--junit-xml"]).arg(&report);
    command.args(modules.split_whitespace()).current_dir(room);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("start unshare")?;
    // Tests that fail directly, too, are no difference.
    let text = fs::read_to_string(&report).with_context(|| format!("{modules}: {status}, and no report"))?;
    Results::read(&text)
}

/// A Python that has its own tests.
fn python() -> Result<PathBuf> {
    let has_tests = |python: &&str| {
        let mut ask = Command::new(python);
        ask.args(["-c", "import test.test_socket"]).stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_tests);
    found.map(PathBuf::from).context("no Python has its own tests: apt-get install libpython3-testsuite")
}

/// Suites and their modules.
const SUITES: [(&str, &str); 4] = [
    (
        "http",
        "test_httplib test_httpservers test_urllib test_urllib2 test_urllib2_localnet test_xmlrpc test_docxmlrpc \
         test_ftplib test_smtplib test_poplib test_imaplib test_wsgiref test_robotparser",
    ),
    ("sockets", "test_socket test_socketserver test_select test_selectors test_epoll test_poll test_logging"),
    ("tls", "test_ssl"),
    ("asyncio", "test_asyncio"),
];

/// How ambassador is run.
const MODES: [&str; 3] = ["", "--mode off", "--retry 2 --timeout 30s"];

/// The ends of the names of tests that may differ, and why; see docs/transparency.md.
const EXPLAINED: [(&str, &str); 4] = [
    (".test_control_and_wait", "expects that a non-blocking connect on loopback is complete at once"),
    (".test_connection_attributes", "expects that a non-blocking connect on loopback is complete at once"),
    (".test_preauth_data_to_tls_server", "expects that a reset is at the other end before the call returns"),
    (".test_unclosed_resource_warnings", "expects that the end of a connection is at the other end at once"),
];
