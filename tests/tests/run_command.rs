// SPDX-License-Identifier: Apache-2.0
//! `ambassador run` gives back what the command gives: its exit code, its streams, its signals; and nothing stays.

use std::time::Duration;

use ambassador_tests::ambassador::{LONG, binary};
use ambassador_tests::{Ambassador, Answer, FaultUpstream, Finished, Link, Namespace, Process, wait};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

/// Runs `program` in a namespace of its own; afterwards nothing may be left.
fn run(flags: &str, program: &[&str]) -> Result<Finished> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run(flags)?;
    let finished = ambassador.output(&namespace, program)?;
    ambassador.cgroup.until_clean()?;
    Ok(finished)
}

/// Starts a shell script that says `ready` when it is, and waits for that.
fn start(ambassador: &Ambassador, namespace: &Namespace, script: &str) -> Result<Process> {
    let mut process = ambassador.spawn(namespace, &["sh", "-c", script])?;
    process.until_stdout("ready", LONG)?;
    Ok(process)
}

#[test]
fn the_exit_code_is_that_of_the_command() -> Result<()> {
    for code in [0, 1, 3, 125, 255] {
        run("-q", &["sh", "-c", &format!("exit {code}")])?.expect_code(code)?;
    }
    Ok(())
}

#[test]
fn a_command_that_died_of_a_signal_is_128_plus_its_number() -> Result<()> {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
        run("-q", &["sh", "-c", &format!("kill -{name} $$")])?.expect_code(128 + number)?;
    }
    Ok(())
}

#[test]
fn a_missing_command_is_127_in_one_line() -> Result<()> {
    let finished = run("-q", &["no-such-command-anywhere"])?.expect_code(127)?;
    ensure!(!finished.errors().contains("sh -c"), "{}", finished.errors());
    check_one_line(&finished, &["no-such-command-anywhere", "no such"])
}

#[test]
fn a_line_of_the_shell_that_was_given_as_one_word_is_told_so() -> Result<()> {
    let finished = run("", &["true | cat"])?.expect_code(127)?;
    check_one_line(&finished, &["true | cat: no such command", "`sh -c LINE`"])
}

#[test]
fn a_command_that_cannot_be_executed_is_126_in_one_line() -> Result<()> {
    let finished = run("-q", &["/etc/passwd"])?.expect_code(126)?;
    check_one_line(&finished, &["/etc/passwd", "denied"])
}

fn check_one_line(finished: &Finished, words: &[&str]) -> Result<()> {
    let errors = finished.errors();
    ensure!(errors.trim().lines().count() == 1, "wanted one line: {errors}");
    for word in words {
        ensure!(errors.to_lowercase().contains(&word.to_lowercase()), "wanted {word:?}: {errors}");
    }
    Ok(())
}

#[test]
fn streams_environment_and_directory_are_those_of_the_caller() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?.env("SOME_VARIABLE", "some value");
    let script = "cat; pwd; echo \"$SOME_VARIABLE\"; echo to-stderr >&2";
    let mut command = ambassador.command(&namespace, &["sh", "-c", script]);
    command.current_dir("/usr/share");
    let finished = Process::run_with_input(&mut command, b"from stdin\n", LONG)?.expect_success()?;
    ensure!(finished.text() == "from stdin\n/usr/share\nsome value\n", "{}", finished.text());
    ensure!(finished.errors() == "to-stderr\n", "-q keeps stderr for the command: {}", finished.errors());
    Ok(())
}

#[test]
fn stdout_belongs_to_the_command() -> Result<()> {
    let link = Link::new()?;
    let origin =
        FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).body("body").into())?;
    for flags in ["", "-o json", "-o text"] {
        let url = Link::url(origin.address().port(), "/");
        let finished =
            Ambassador::run(flags)?.output(&link.client, &["curl", "-s", &url])?.expect_success()?;
        ensure!(finished.text() == "body", "{flags}: {}", finished.text());
        ensure!(
            finished.errors().contains("10.77.0.2:8080"),
            "{flags}: no line about the request: {}",
            finished.errors()
        );
    }
    Ok(())
}

#[test]
fn signals_are_forwarded_to_the_command() -> Result<()> {
    let namespace = Namespace::new("run")?;
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGINT, "INT"),
    ] {
        let ambassador = Ambassador::run("-q")?;
        let script =
            format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done");
        let process = start(&ambassador, &namespace, &script)?;
        process.signal(signal)?;
        let finished = process.finish(LONG)?.expect_code(7)?;
        ensure!(finished.text().contains(&format!("got {name}")), "{}", finished.text());
        ambassador.cgroup.until_clean()?;
    }
    Ok(())
}

/// The verifier gives up when a signal comes, and asks to be called again.
#[test]
fn signals_while_it_begins_do_not_keep_it_from_beginning() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?;
    let process = ambassador.spawn(&namespace, &["echo", "begun"])?;
    let mut pause = Duration::from_millis(5);
    while !process.stdout().contains("begun") && process.is_talking() && pause < LONG {
        process.signal(Signal::SIGSTOP)?;
        process.signal(Signal::SIGCONT)?;
        wait::pass(pause);
        // A slow machine needs longer for each of its steps.
        pause += pause / 20;
    }
    process.finish(LONG)?.expect_success()?;
    ambassador.cgroup.until_clean()
}

#[test]
fn a_signal_that_the_command_does_not_catch_ends_it() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?;
    let process = start(&ambassador, &namespace, "echo ready; exec sleep 1000")?;
    process.signal(Signal::SIGTERM)?;
    process.finish(LONG)?.expect_code(128 + 15)?;
    ambassador.cgroup.until_clean()
}

#[test]
fn children_that_outlive_the_command_are_still_served() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |arrival| {
        Answer::status(if arrival.index == 0 { 503 } else { 200 }).into()
    })?;
    let directory = tempfile::tempdir()?;
    let gate = directory.path().join("gate");
    let result = directory.path().join("result");
    let url = Link::url(origin.address().port(), "/");
    let orphan = format!(
        "(trap '' HUP; while [ ! -e {gate} ]; do sleep 0.05; done; \
         curl -s -o /dev/null -w '%{{http_code}}' {url} > {result}) >/dev/null 2>&1 & echo ready; exit 7",
        gate = gate.display(),
        result = result.display()
    );
    let ambassador = Ambassador::run("--retry 3 -q")?;
    let mut process = start(&ambassador, &link.client, &orphan)?;
    ensure!(process.is_running(), "ambassador ended before the orphan");
    std::fs::write(&gate, "")?;
    process.finish(LONG)?.expect_code(7)?;
    ensure!(std::fs::read_to_string(&result)? == "200", "the orphan's request was not retried");
    ambassador.cgroup.until_clean()
}

#[test]
fn nested_runs_work() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |arrival| {
        Answer::status(if arrival.index == 0 { 503 } else { 200 }).into()
    })?;
    let ambassador = Ambassador::run("-q")?;
    let binary = binary();
    let inner = binary.to_str().context("the path of ambassador is UTF-8")?;
    let url = Link::url(origin.address().port(), "/");
    let program = [
        inner,
        "run",
        "-q",
        "--retry",
        "2",
        "--",
        "curl",
        "-s",
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        &url,
    ];
    let finished = ambassador.output(&link.client, &program)?.expect_success()?;
    ensure!(
        finished.text() == "200" && origin.count() == 2,
        "{}: {} arrivals",
        finished.text(),
        origin.count()
    );
    ambassador.cgroup.until_clean()
}

/// ambassador stays outside, where `ip netns exec` does not hide the cgroups from it.
#[test]
fn a_command_that_enters_a_namespace_by_its_name_is_intercepted_there() -> Result<()> {
    let (here, link) = (Namespace::new("here")?, Link::new()?);
    let _origin = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).into())?;
    let (name, url) = (link.client.name(), Link::url(8080, "/"));
    let ambassador = Ambassador::run(&format!("--netns {name}"))?;
    let command = ["ip", "netns", "exec", name, "curl", "-sS", &url];
    let finished = ambassador.output(&here, &command)?.expect_success()?;
    ensure!(finished.text() == "status 200\n", "{}", finished.text());
    ensure!(finished.errors().contains("1 request to 1 destination, 0 failed"), "{}", finished.errors());
    Ok(())
}

#[test]
fn many_runs_at_once_do_not_disturb_each_other() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |arrival| {
        Answer::status(200).body(arrival.path.clone()).into()
    })?;
    let ambassadors = (0..8).map(|_| Ambassador::run("-q")).collect::<Result<Vec<_>>>()?;
    let script = |number: usize| {
        format!("curl -s {}; exit {number}", Link::url(origin.address().port(), &format!("/{number}")))
    };
    let start = |(number, ambassador): (usize, &Ambassador)| {
        ambassador.spawn(&link.client, &["sh".to_owned(), "-c".to_owned(), script(number)])
    };
    let processes = ambassadors.iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
    for (number, process) in processes.into_iter().enumerate() {
        let finished = process.finish(LONG)?.expect_code(i32::try_from(number)?)?;
        ensure!(finished.text() == format!("/{number}"), "{}", finished.text());
    }
    ambassadors.iter().try_for_each(|ambassador| ambassador.cgroup.until_clean())
}

#[test]
fn the_command_runs_as_the_named_user() -> Result<()> {
    let finished = run("-q --user nobody", &["sh", "-c", "id -un; id -Gn; grep CapEff /proc/self/status"])?
        .expect_success()?;
    let text = finished.text();
    ensure!(text.starts_with("nobody\nnogroup\n") && text.trim().ends_with("0000000000000000"), "{text}");
    Ok(())
}

#[test]
fn under_sudo_the_command_runs_as_the_caller() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let sudo = [("SUDO_USER", "nobody"), ("SUDO_UID", "65534"), ("SUDO_GID", "65534")];
    let ambassador = sudo.iter().fold(Ambassador::run("-q")?, |run, (name, value)| run.env(name, value));
    let finished = ambassador.output(&namespace, &["id", "-un"])?.expect_success()?;
    ensure!(finished.text() == "nobody\n", "{}", finished.text());
    let ambassador =
        sudo.iter().fold(Ambassador::run("-q --user root")?, |run, (name, value)| run.env(name, value));
    let finished = ambassador.output(&namespace, &["id", "-un"])?.expect_success()?;
    ensure!(finished.text() == "root\n", "{}", finished.text());
    Ok(())
}

#[test]
fn nothing_stays_after_a_kill_and_the_next_start_cleans() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?;
    let process = start(&ambassador, &namespace, "echo ready; exec sleep 1000")?;
    ensure!(!ambassador.cgroup.children().is_empty(), "no group was made below the caller's");
    ensure!(ambassador.cgroup.attached_programs() > 0, "no program is attached");
    process.signal(Signal::SIGKILL)?;
    wait::until_true("no program after kill -9", Duration::from_secs(5), || {
        ambassador.cgroup.attached_programs() == 0
    })?;
    let left = ambassador.cgroup.children();
    ensure!(!left.is_empty(), "the group of a living command is gone");
    let events = std::fs::read_to_string(left[0].join("cgroup.events"))?;
    ensure!(events.contains("populated 1"), "the command died with ambassador: {events}");
    drop(process);
    std::fs::write(left[0].join("cgroup.kill"), "1")?;
    ambassador.output(&namespace, &["true"])?.expect_success()?;
    ambassador.cgroup.until_clean()
}

#[test]
fn a_group_whose_command_lives_on_is_not_cleaned() -> Result<()> {
    let namespace = Namespace::new("run")?;
    let ambassador = Ambassador::run("-q")?;
    let _process = start(&ambassador, &namespace, "echo ready; exec sleep 1000")?;
    let own = ambassador.cgroup.children();
    ambassador.output(&namespace, &["true"])?.expect_success()?;
    ensure!(ambassador.cgroup.children() == own, "{:?} became {:?}", own, ambassador.cgroup.children());
    ensure!(ambassador.cgroup.attached_programs() > 0, "the first run lost its programs");
    Ok(())
}
