// SPDX-License-Identifier: Apache-2.0
//! What ambassador says of the kernel that it meets, and what it has given up while it runs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ambassador_tests::{Cgroup, Finished, Process, wait};
use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;
use serde_json::Value;

use super::program::{AMBASSADOR, GUEST, command};

/// Everything is as it should be.
pub(crate) fn doctor_is_content() -> Result<String> {
    let (finished, found) = doctor()?;
    let checks = found["checks"].as_array().context("checks")?;
    let wrong: Vec<&Value> = checks.iter().filter(|check| check["status"] != "ok").collect();
    ensure!(finished.code() == Some(0) && found["verdict"] == "ok" && wrong.is_empty(), "{wrong:?}");
    let tests =
        checks.iter().filter(|check| check["name"].as_str().is_some_and(|n| n.starts_with("self-test")));
    let tests: Vec<&str> = tests.filter_map(|check| check["found"].as_str()).collect();
    Ok(format!("{} findings; {}", checks.len(), tests.join(", ")))
}

/// The kernel is too old, which is what is said, and nothing else is tried.
pub(crate) fn doctor_refuses(release: &str) -> Result<String> {
    let (finished, found) = doctor()?;
    ensure!(finished.code() == Some(1) && found["verdict"] == "broken", "{}: {found}", finished.status);
    let checks = found["checks"].as_array().context("checks")?;
    let status = |name: &str| checks.iter().find(|check| check["name"] == name).map(|check| &check["status"]);
    let kernel = checks.iter().find(|check| check["name"] == "kernel").context("no word about the kernel")?;
    let words = kernel["found"].as_str().unwrap_or_default();
    ensure!(kernel["status"] == "broken" && words.contains(release) && words.contains("too old"), "{kernel}");
    for name in ["connect4", "lfilter", "attach", "self-test-v4"] {
        ensure!(status(name).is_some_and(|status| status == "skipped"), "{name}: {found}");
    }
    Ok(words.to_owned())
}

/// The program is not started, and no group and no kernel program is left.
pub(crate) fn run_refuses(release: &str) -> Result<String> {
    let cgroup = Cgroup::new()?;
    let finished = Process::run(command(&cgroup).args(["--", GUEST, "client"]), SOON)?.expect_code(125)?;
    let errors = finished.errors();
    ensure!(finished.text().is_empty(), "the client was started: {}", finished.text());
    ensure!(errors.contains(release) && errors.contains("too old"), "{errors}");
    ensure!(errors.contains("ambassador doctor"), "{errors}");
    cgroup.until_clean()?;
    Ok(errors.trim().to_owned())
}

/// No thread of the proxy has a capability, and each has the filter of system calls.
pub(crate) fn nothing_is_kept(proxy: Pid) -> Result<String> {
    let threads = || -> Result<Vec<String>> {
        let entries = std::fs::read_dir(format!("/proc/{proxy}/task"))?;
        entries.map(|entry| Ok(std::fs::read_to_string(Path::new(&entry?.path()).join("status"))?)).collect()
    };
    let has = |status: &str, wanted: &str| status.lines().any(|line| line == wanted);
    wait::until_true("a filter on every thread", SOON, || {
        threads().is_ok_and(|threads| threads.iter().all(|status| has(status, "Seccomp:\t2")))
    })?;
    let threads = threads()?;
    for status in &threads {
        for wanted in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
            ensure!(has(status, wanted), "not {wanted:?}: {status}");
        }
    }
    Ok(format!("{} threads", threads.len()))
}

fn doctor() -> Result<(Finished, Value)> {
    let finished = Process::run(Command::new(AMBASSADOR).args(["doctor", "-o", "json"]), SOON)?;
    let found = serde_json::from_slice(&finished.stdout);
    let found = found.with_context(|| format!("{}{}", finished.text(), finished.errors()))?;
    Ok((finished, found))
}

const SOON: Duration = Duration::from_secs(30);
