// SPDX-License-Identifier: Apache-2.0
//! All of it together: what `run` does before it starts CMD, and the self-test, without a CMD.

use std::sync::Arc;

use super::{Finding, Group, Status, remedy};
use crate::{
    app::{interception::Interception, proxy::Proxy, run::AppError, self_test::SelfTest},
    config::settings::Intercept,
    host::{
        cgroup::{CgroupError, RunCgroups},
        privileges,
    },
    kernel,
    net::{
        probe::{SENTINEL_V4, SENTINEL_V6},
        syn::{RawFamily, RawSocketError, RawSockets},
    },
    policy::route::{ConnectMode, RouteTable},
    telemetry::Telemetry,
};

/// The findings, none of them tried where something before them is broken.
pub(super) fn all(blocked: Option<&'static str>) -> Vec<Finding> {
    if let Some(blocked) = blocked {
        return NAMES.map(|name| Finding::skipped(Group::Interception, name, blocked)).into();
    }
    let mut findings = vec![raw("raw-socket-v4", RawFamily::V4), raw("raw-socket-v6", RawFamily::V6)];
    if let Err((name, error, hint)) = attempt(&mut findings) {
        findings.push(Finding::failed(Group::Interception, name, Status::Broken, error, hint));
        let rest = NAMES.into_iter().skip_while(|other| *other != name).skip(1);
        findings.extend(rest.map(|rest| Finding::skipped(Group::Interception, rest, name)));
    }
    findings
}

/// The names, in order.
const NAMES: [&str; 7] =
    ["raw-socket-v4", "raw-socket-v6", "cgroup", "attach", "syn-filter", "self-test-v4", "self-test-v6"];

fn raw(name: &'static str, family: RawFamily) -> Finding {
    match RawSockets::try_family(family) {
        Ok(()) => Finding::ok(Group::Interception, name, "connect() can be answered as its destination did"),
        Err(RawSocketError::NoFamily) => Finding::lacks(
            Group::Interception,
            name,
            Status::Optional,
            "this machine does not speak it",
            "nothing: programs cannot dial it either",
        ),
        Err(error) => Finding::failed(
            Group::Interception,
            name,
            Status::Degraded,
            error,
            "grant CAP_NET_RAW; without it connect() succeeds before the destination has answered",
        ),
    }
}

type Failure = (&'static str, AppError, &'static str);

/// What holds is noted; the first thing that does not ends the attempt.
fn attempt(findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let open_files = privileges::raise_open_files();
    let mut cgroups = RunCgroups::create().map_err(|error| {
        let hint = match error {
            CgroupError::ReadOnly { .. } => WRITABLE,
            CgroupError::NoOverride { .. } => super::capabilities::OVERRIDE,
            _ => CGROUP,
        };
        ("cgroup", error.into(), hint)
    })?;
    findings.push(Finding::ok(Group::Interception, "cgroup", "one can be made below this process's"));

    let failed = |error| {
        let hint = if let AppError::Kernel(error) = &error { remedy(error, ATTACH) } else { ATTACH };
        ("attach", error, hint)
    };
    let intercept = Intercept::default();
    let prepared = Interception::prepare(&mut cgroups, &intercept, &[], ConnectMode::Truthful, 1);
    let mut interception = prepared.map_err(failed)?;
    interception.arm(cgroups.cmd()).map_err(failed)?;
    findings.push(Finding::ok(Group::Interception, "attach", "programs attached, listeners open"));
    findings.push(filter(&interception));

    let self_test = SelfTest::new(std::mem::take(&mut interception.probes));
    let (table, telemetry) = (RouteTable::default(), Telemetry::silent());
    let (sentinel, readiness) = (self_test.sentinel(), Arc::default());
    let proxy = Proxy::start(&mut interception, table, sentinel, telemetry, readiness, open_files.1);
    let proxy = proxy.map_err(|error| ("self-test-v4", error, SELF_TEST))?;
    let tested = ask(&self_test, findings);
    drop(interception);
    proxy.stop();
    tested.map_err(|error| ("self-test-v4", error, SELF_TEST))
}

/// Whether the listeners hold SYNs.
fn filter(interception: &Interception) -> Finding {
    let (group, name) = (Group::Interception, "syn-filter");
    if interception.grounds.is_empty() {
        let found = format!("not used: {} does not load, or there is no raw socket", kernel::FILTER);
        let hint = "see above; without it connect() succeeds before the destination has answered";
        return Finding::lacks(group, name, Status::Degraded, found, hint);
    }
    Finding::ok(group, name, "connect() waits for its destination")
}

/// Connects to each sentinel.
fn ask(self_test: &SelfTest, findings: &mut Vec<Finding>) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AppError::Process)?;
    for (name, sentinel) in [("self-test-v4", SENTINEL_V4), ("self-test-v6", SENTINEL_V6)] {
        let probe = self_test.probes().iter().find(|probe| probe.sentinel() == sentinel);
        let Some(probe) = probe else {
            let (found, hint) = ("no loopback of this family", "nothing: its connections go direct");
            findings.push(Finding::lacks(Group::Interception, name, Status::Optional, found, hint));
            continue;
        };
        findings.push(match runtime.block_on(self_test.ask(probe)) {
            Ok(took) => {
                let found = format!("a connect came through in {:.1} ms", took.as_secs_f64() * 1000.0);
                Finding::ok(Group::Interception, name, found)
            }
            Err(error) => Finding::failed(Group::Interception, name, Status::Broken, error, SELF_TEST),
        });
    }
    Ok(())
}

const CGROUP: &str =
    "run it as root, or let root give you the cgroup that you are in (chown -R, Delegate=yes)";
const WRITABLE: &str = "mount -o remount,bind,rw, and the place that is named here; in a container, share the host's (--cgroupns host -v \
                        /sys/fs/cgroup:/sys/fs/cgroup:rw)";
const ATTACH: &str = "if listeners cannot be opened: ip link set lo up; else please report this";
const SELF_TEST: &str = "does a firewall drop packets on `lo`, to 127.77.0.0/24 or ::1? Does another agent redirect \
                         connections of this cgroup?";
