// SPDX-License-Identifier: Apache-2.0
//! Whatever is wrong with the input or the machine, ambassador says in a line what it is and what to do.

use ambassador_tests::ambassador::{LONG, binary, config_file, verb};
use ambassador_tests::{Ambassador, Answer, FaultUpstream, Finished, Link, Namespace, Process, cgroup};
use anyhow::{Context, Result, ensure};

/// `check` must refuse `yaml` with 78, name the place as `FILE:LINE:COLUMN`, and say each of `words`.
fn check_refused(yaml: &str, place: &str, words: &[&str]) -> Result<()> {
    let file = config_file(yaml)?;
    let path = file.path().to_str().context("a temporary path is UTF-8")?;
    let finished = verb(&["check", path])?.expect_code(78)?;
    let said = format!("{}{}", finished.text(), finished.errors());
    ensure!(said.contains(&format!("{path}:{place}")), "wanted {place}:\n{yaml}\n{said}");
    for word in words {
        ensure!(said.to_lowercase().contains(&word.to_lowercase()), "wanted {word:?}:\n{yaml}\n{said}");
    }
    // `run` refuses the same file before it does anything.
    let ran = verb(&["run", "-c", path, "--", "true"])?.expect_code(125)?;
    ensure!(ran.errors().contains(&format!("{path}:{place}")), "run says: {}", ran.errors());
    Ok(())
}

fn route(fields: &str) -> String {
    format!("version: v1\nroutes:\n  - name: one\n    {fields}\n")
}

#[test]
fn an_unknown_field_is_refused_with_a_suggestion() -> Result<()> {
    check_refused(&route("retry: {atempts: 3}"), "4:13", &["atempts", "attempts"])?;
    check_refused("version: v1\nrouts: []\n", "2:1", &["routs", "routes"])
}

#[test]
fn a_value_of_the_wrong_type_is_refused() -> Result<()> {
    check_refused(&route("retry: {attempts: many}"), "4:23", &["attempts"])?;
    check_refused(&route("retry: 3"), "4:12", &["retry"])?;
    check_refused("version: v1\nroutes: {}\n", "2:9", &["routes"])
}

#[test]
fn a_value_out_of_range_is_refused() -> Result<()> {
    check_refused(&route("match: {ports: [70000]}"), "4:21", &["70000"])?;
    check_refused(&route("retry: {attempts: -1}"), "4:23", &["-1"])?;
    check_refused(&route("retry: {budget: {retryRatio: -0.5}}"), "4:34", &["-0.5"])?;
    check_refused(&route("circuitBreaker: {failureRateThreshold: 101}"), "4:44", &["101"])
}

#[test]
fn a_bad_duration_is_refused() -> Result<()> {
    check_refused(&route("timeouts: {request: soon}"), "4:25", &["soon"])?;
    check_refused(&route("timeouts: {request: 10}"), "4:25", &["10"])?;
    check_refused(&route("timeouts: {request: -1s}"), "4:25", &["-1s"])
}

#[test]
fn a_bad_network_host_or_method_is_refused() -> Result<()> {
    check_refused(&route("match: {cidrs: [10.0.0.0/33]}"), "4:21", &["10.0.0.0/33"])?;
    check_refused(&route("match: {hosts: ['exa mple']}"), "4:21", &["exa mple"])?;
    check_refused(&route("match: {hosts: ['example.com:80']}"), "4:21", &["example.com:80", "port"])
}

#[test]
fn an_unknown_word_is_refused_with_the_known_ones() -> Result<()> {
    check_refused(&route("mode: enforced"), "4:11", &["`enforced`", "`enforce`"])?;
    check_refused(&route("retry: {retryOn: [gateway-eror]}"), "4:23", &["gateway-eror", "gateway-error"])?;
    check_refused("version: v2\n", "1:10", &["v2", "v1"])
}

#[test]
fn a_reference_to_nothing_is_refused() -> Result<()> {
    check_refused(&route("upstream: nowhere"), "4:15", &["nowhere"])
}

#[test]
fn a_name_given_twice_is_refused() -> Result<()> {
    check_refused("version: v1\nroutes:\n  - name: one\n  - name: one\n", "4:11", &["one"])?;
    check_refused("version: v1\nversion: v1\n", "2:1", &["version"])
}

#[test]
fn broken_yaml_is_refused_at_its_place() -> Result<()> {
    check_refused("version: v1\nroutes: [\n", "", &[])?;
    check_refused("version: v1\n\troutes: []\n", "", &["tab"])
}

#[test]
fn a_missing_version_is_refused() -> Result<()> {
    check_refused("routes: []\n", "1:1", &["version"])?;
    check_refused("", "1:1", &["version"])
}

#[test]
fn every_mistake_is_reported_at_once() -> Result<()> {
    let yaml = "version: v1\nroutes:\n  - name: one\n    mode: enforced\n    retry: {atempts: 3}\n    upstream: nowhere\n";
    check_refused(yaml, "4:11", &["enforced", "atempts", "nowhere"])?;
    check_refused(yaml, "5:13", &[])?;
    check_refused(yaml, "6:15", &[])
}

#[test]
fn check_reports_for_machines_too() -> Result<()> {
    let file = config_file(&route("retry: {atempts: 3}"))?;
    let path = file.path().to_str().context("a temporary path is UTF-8")?;
    let finished = verb(&["check", path, "-o", "json"])?.expect_code(78)?;
    let report: serde_json::Value = serde_json::from_slice(&finished.stdout).context(finished.text())?;
    ensure!(report.to_string().contains("atempts"), "{report}");
    let good = config_file(&route("retry: {attempts: 3}"))?;
    verb(&["check".as_ref(), good.path()])?.expect_success()?;
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> Result<()> {
    check_one_line(
        &verb(&["run", "-c", "/no/such/file.yaml", "--", "true"])?.expect_code(125)?,
        &["/no/such/file.yaml"],
    )
}

#[test]
fn a_flag_that_does_not_parse_is_refused_with_125() -> Result<()> {
    for flags in [["--retry", "many"], ["--timeout", "soon"], ["--breaker", "0"], ["--frobnicate", "1"]] {
        let finished = verb(&["run", flags[0], flags[1], "--", "true"])?.expect_code(125)?;
        ensure!(finished.errors().contains(flags[0]), "{}", finished.errors());
    }
    let finished = verb(&["run", "--user", "no-such-user", "--", "true"])?.expect_code(125)?;
    check_one_line(&finished, &["no-such-user"])
}

#[test]
fn a_run_without_a_command_is_refused() -> Result<()> {
    let finished = verb(&["run"])?.expect_code(125)?;
    ensure!(finished.errors().to_lowercase().contains("usage"), "{}", finished.errors());
    Ok(())
}

#[test]
fn without_capabilities_the_missing_one_is_named() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    for (dropped, named) in [("-bpf,-sys_admin", "CAP_BPF"), ("-net_admin,-sys_admin", "CAP_NET_ADMIN")] {
        let mut setpriv = namespace.command("setpriv");
        setpriv.args([&format!("--bounding-set={dropped}"), "--inh-caps=-all", "--"]).arg(binary());
        let finished = Process::run(setpriv.args(["run", "--", "true"]), LONG)?.expect_code(125)?;
        check_one_line(&finished, &[named, "sudo"])?;
    }
    Ok(())
}

/// Root of a rootless container has every capability, and none that bpf(2) asks for.
#[test]
fn root_of_a_user_namespace_is_told_so() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    let mut unshare = namespace.command("unshare");
    unshare.args(["--user", "--map-root-user"]).arg(binary()).args(["run", "--", "true"]);
    let words = ["in a user namespace of its own", "run it as root of the machine"];
    check_one_line(&Process::run(&mut unshare, LONG)?.expect_code(125)?, &words)
}

#[test]
fn a_namespace_that_is_not_there_or_is_none_is_named() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    for (netns, words) in [
        ("nowhere-at-all", "there is no network namespace /run/netns/nowhere-at-all: `ip netns list`"),
        ("/nowhere/at/all", "cannot open the network namespace /nowhere/at/all"),
        ("/dev/null", "/dev/null is no network namespace"),
    ] {
        let run = Ambassador::run(&format!("--netns {netns}"))?;
        check_one_line(&run.output(&namespace, &["true"])?.expect_code(125)?, &[words])?;
    }
    let other = Namespace::new("other")?;
    other.ip("link set lo down")?;
    let down = Ambassador::run(&format!("--netns {}", other.name()))?.output(&namespace, &["true"])?;
    check_one_line(&down.expect_code(125)?, &["ip link set lo up"])
}

/// Most containers have the hierarchy like that.
#[test]
fn a_hierarchy_that_is_mounted_read_only_is_told_so() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    let script = "for mount in $(findmnt -rnt cgroup2 -o TARGET); do mount -o remount,bind,ro $mount; done; exec \"$0\" run -- true";
    let mut unshare = namespace.command("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(binary());
    let finished = Process::run(&mut unshare, LONG)?.expect_code(125)?;
    check_one_line(&finished, &["mounted read-only here", "remount,bind,rw", "Read-only file system"])?;
    ensure!(!finished.errors().contains("run as root"), "{}", finished.errors());
    Ok(())
}

/// In the root of the hierarchy, to which nobody may write.
#[test]
fn root_that_may_not_override_is_told_the_capability() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    let root = cgroup::mounts()?.into_iter().next().context("a hierarchy")?;
    let mut sh = namespace.command("sh");
    sh.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(root);
    sh.args(["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all", "--"]).arg(binary());
    let finished = Process::run(sh.args(["run", "--", "true"]), LONG)?.expect_code(125)?;
    check_one_line(&finished, &["CAP_DAC_OVERRIDE", "Permission denied"])?;
    ensure!(!finished.errors().contains("run as root"), "{}", finished.errors());
    Ok(())
}

/// The fewest open files that `run` takes.
fn fewest_open_files(namespace: &Namespace) -> Result<u64> {
    let refused =
        Ambassador::run("")?.first("ulimit -n 64").output(namespace, &["true"])?.expect_code(125)?;
    let errors = refused.errors();
    let needed = errors.split("needs ").nth(1).and_then(|rest| rest.split(' ').next());
    Ok(needed.context("a number")?.parse()?)
}

#[test]
fn a_connection_without_a_place_is_warned_of_and_served_in_its_turn() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).into())?;
    // Enough for a run and a metrics page, and for one connection.
    let limit = fewest_open_files(&link.client)? + 50;
    let policy = "version: v1\ntelemetry:\n  metrics: {listen: '127.0.0.1:9464'}\n";
    let ambassador = Ambassador::with_policy("", policy)?.first(&format!("ulimit -n {limit}"));
    let script = format!(
        "
import http.client, time, urllib.request
def until_waiting(count):
    end = time.monotonic() + 15
    while 'ambassador_connections_waiting %d\\n' % count not in \\
            urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode():
        assert time.monotonic() < end, count
        time.sleep(0.02)
first, second = (http.client.HTTPConnection('{}', timeout=15) for _ in range(2))
first.request('GET', '/')
first.getresponse().read()
until_waiting(0)
second.request('GET', '/')
until_waiting(1)
first.close()
print(second.getresponse().status)
until_waiting(0)
",
        origin.address()
    );
    let finished = ambassador.output(&link.client, &["python3", "-c", &script])?.expect_success()?;
    ensure!(finished.text() == "200\n", "{}", finished.text());
    let errors = finished.errors();
    let warnings = errors.lines().filter(|line| line.contains("further ones wait")).count();
    ensure!(warnings == 1 && errors.contains("LimitNOFILE="), "{errors}");
    Ok(())
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_told_with_the_one_that_is_needed() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    let run = |limit: &str| {
        let ambassador = Ambassador::run("")?.first(&format!("ulimit -n {limit}"));
        ambassador.output(&namespace, &["true"])
    };
    let refused = run("64")?.expect_code(125)?;
    check_one_line(&refused, &["too few open files: the limit is 64, and ambassador needs ", "ulimit"])?;
    run(&fewest_open_files(&namespace)?.to_string())?.expect_success()?;
    Ok(())
}

#[test]
fn without_cgroup2_the_mount_is_named() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    let mounts: Vec<String> = cgroup::mounts()?.iter().map(|mount| mount.display().to_string()).collect();
    // Deepest first, so that nothing is left under a mount point.
    let umount: String =
        mounts.iter().rev().map(|mount| format!("umount -l {mount} && ")).collect::<Vec<_>>().concat();
    let script = format!("{umount} exec \"$0\" run -- true");
    let mut unshare = namespace.command("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(binary());
    check_one_line(&Process::run(&mut unshare, LONG)?.expect_code(125)?, &["cgroup2", "mount"])
}

#[test]
fn a_broken_configuration_starts_nothing() -> Result<()> {
    let namespace = Namespace::new("bad")?;
    let ambassador = Ambassador::with_policy("", "version: v1\nrouts: []\n")?;
    let finished = ambassador.output(&namespace, &["echo", "started"])?.expect_code(125)?;
    ensure!(finished.text().is_empty(), "the command ran: {}", finished.text());
    ambassador.cgroup.until_clean()
}

fn check_one_line(finished: &Finished, words: &[&str]) -> Result<()> {
    let errors = finished.errors();
    ensure!(errors.trim().lines().count() == 1, "wanted one line: {errors}");
    for word in words {
        ensure!(errors.to_lowercase().contains(&word.to_lowercase()), "wanted {word:?}: {errors}");
    }
    Ok(())
}
