// SPDX-License-Identifier: Apache-2.0
//! What the command line says to whoever mistypes it, what its helps promise, and what goes to which stream.

use ambassador_tests::ambassador::{LONG, binary, config_file, verb};
use ambassador_tests::{Ambassador, Answer, FaultUpstream, Finished, Link, Namespace, Process};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// `arguments` must be refused with 125 in words that contain `teaches`, without a word of the parser's own.
fn check_taught(arguments: &[&str], teaches: &str) -> Result<()> {
    let finished = verb(arguments)?.expect_code(125)?;
    let errors = finished.errors();
    ensure!(errors.contains(teaches), "{arguments:?}: wanted {teaches:?}: {errors}");
    for foreign in ["invalid digit", "unexpected argument", "-- -1", "not in "] {
        ensure!(!errors.contains(foreign), "{arguments:?}: {errors}");
    }
    Ok(())
}

#[test]
fn a_policy_flag_that_does_not_fit_says_what_to_write() -> Result<()> {
    for wrong in ["x", "-1", "101", "1.5", ""] {
        let retry = "a whole number from 0 to 100, of tries after the first one: `--retry 3`";
        check_taught(&["run", "--retry", wrong, "--", "true"], retry)?;
        check_taught(&["explain", "--retry", wrong, "a:1"], retry)?;
    }
    for wrong in ["x", "-1", "0", "4294967296"] {
        check_taught(
            &["run", "--breaker", wrong, "--", "true"],
            "a whole number from 1 to 4294967295, of failures in a row: `--breaker 5`",
        )?;
    }
    for (flag, wrong, why) in [
        ("--timeout", "5", "the unit is missing"),
        ("--timeout", "-5s", "a number must come first"),
        ("--per-try-timeout", "soon", "a number must come first"),
    ] {
        let words = format!("{why}; write a number and its unit: `250ms`, `5s`, `1m30s`");
        check_taught(&["run", flag, wrong, "--", "true"], &words)?;
    }
    Ok(())
}

#[test]
fn explain_refuses_an_address_that_nobody_could_dial() -> Result<()> {
    let brackets = "an IPv6 address stands in brackets: [2001:db8::1]";
    for wrong in
        ["http://[::1", "http://[::1/x", "[::1", "http://[foo]/", "http://a:b:80/", "::1:80", "http://::1/"]
    {
        check_taught(&["explain", wrong], brackets)?;
    }
    check_taught(&["explain", "http://[::1]x/"], "the port is missing or not a number")?;
    for wrong in ["http://a b/", "http://a%20b/"] {
        check_taught(&["explain", wrong], "the host is neither a name nor an address")?;
    }
    verb(&["explain", "http://[::1]:80/"])?.expect_success()?;
    Ok(())
}

#[test]
fn a_log_level_that_does_not_exist_is_told_once_and_ignored() -> Result<()> {
    let check = |level: &str| {
        let mut command = std::process::Command::new(binary());
        Process::run(command.args(["explain", "a:1"]).env("AMBASSADOR_LOG", level), LONG)?.expect_success()
    };
    for wrong in ["nonsense", "warn,nonsense", "ambassador=loud", "=", "ambassador::proxy="] {
        let errors = check(wrong)?.errors();
        let told = format!("AMBASSADOR_LOG is `{wrong}`");
        ensure!(errors.lines().count() == 1 && errors.contains(&told), "{wrong}: {errors}");
        ensure!(errors.contains("write off, error, warn, info, debug or trace"), "{wrong}: {errors}");
    }
    for right in ["", "off", "DEBUG", "warn,ambassador::proxy=debug", "ambassador=trace,h2=info"] {
        ensure!(check(right)?.errors().is_empty(), "{right}");
    }
    Ok(())
}

#[test]
fn each_help_tells_its_exit_codes() -> Result<()> {
    for (name, codes) in [
        ("run", &["125", "126", "127", "128+n"][..]),
        ("check", &["78", "125"]),
        ("explain", &["78", "125"]),
        ("doctor", &["125"]),
        ("schema", &["125"]),
    ] {
        let help = verb(&[name, "--help"])?.expect_success()?.text();
        let (_, told) =
            help.split_once("exit code").with_context(|| format!("{name}: no exit code:\n{help}"))?;
        for code in codes {
            ensure!(told.contains(code), "{name}: {code}\n{help}");
        }
    }
    Ok(())
}

/// One JSON document and nothing else on stdout.
fn document(finished: &Finished) -> Result<Value> {
    serde_json::from_slice(&finished.stdout).with_context(|| finished.text())
}

#[test]
fn with_json_stdout_holds_nothing_else() -> Result<()> {
    let warned = config_file("version: v1\nupstreams: [{name: unused}]\n")?;
    let refused = config_file("version: v1\nrouts: []\n")?;
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let (warned, refused) = (path(&warned), path(&refused));
    document(&verb(&["check", "-o", "json", &warned])?.expect_success()?)?;
    document(&verb(&["check", "-o", "json", &refused])?.expect_code(78)?)?;
    let explained = verb(&["explain", "-o", "json", "-c", &warned, "a:1"])?.expect_success()?;
    document(&explained)?;
    ensure!(explained.errors().contains("no route uses upstream `unused`"), "{}", explained.errors());
    let explained = verb(&["explain", "-o", "json", "-c", &refused, "a:1"])?.expect_code(78)?;
    ensure!(explained.stdout.is_empty() && explained.errors().contains("routs"), "{}", explained.errors());
    document(&verb(&["schema"])?.expect_success()?)?;

    let namespace = Namespace::new("cli")?;
    let mut doctor = namespace.command(binary());
    doctor.env("AMBASSADOR_LOG", "debug").args(["doctor", "-o", "json"]);
    document(&Process::run(&mut doctor, LONG)?.expect_success()?)?;

    let link = Link::new()?;
    let _origin = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).into())?;
    let run = Ambassador::run("-o json --retry 1")?.env("AMBASSADOR_LOG", "debug");
    let url = Link::url(8080, "/");
    let finished = run
        .output(&link.client, &["curl", "-s", "-o", "/dev/null", "-w", "{\"of\":\"CMD\"}", &url])?
        .expect_success()?;
    ensure!(document(&finished)?["of"] == "CMD", "{}", finished.text());
    Ok(())
}

/// Who reads lines as JSON reads the same stream as ambassador's own messages: it holds one object per line, to the
/// last, unless something else is asked for.
#[test]
fn with_json_lines_the_messages_are_json_too() -> Result<()> {
    let objects = |errors: &str| -> Result<Vec<Value>> {
        errors.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    };
    let link = Link::new()?;
    let _origin = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).into())?;
    let url = Link::url(8080, "/");
    let warned = "version: v1\nupstreams: [{name: unused}]\n";
    let run = Ambassador::with_policy("-o json", warned)?.env("AMBASSADOR_LOG", "debug");
    let errors = run.output(&link.client, &["curl", "-s", &url])?.expect_success()?.errors();
    let told = objects(&errors)?;
    ensure!(told.len() > 4, "{errors}");
    ensure!(told[0]["fields"]["message"] == "no route uses upstream `unused`", "{errors}");
    ensure!(told[0]["level"] == "WARN" && told[0]["fields"]["line"] == 2, "{errors}");

    let refused = Ambassador::with_policy("-o json", "version: v1\nrouts: []\n")?;
    let errors = refused.output(&link.client, &["true"])?.expect_code(125)?.errors();
    ensure!(objects(&errors)?[0]["fields"]["help"] == "did you mean `routes`?", "{errors}");
    let absent = Ambassador::run("-o json")?.output(&link.client, &["/nonexistent/command"])?;
    let errors = absent.expect_code(127)?.errors();
    ensure!(objects(&errors)?[0]["level"] == "ERROR", "{errors}");

    let text = Ambassador::with_policy("-o json --log-format text", warned)?;
    let errors = text.output(&link.client, &["true"])?.expect_success()?.errors();
    ensure!(errors.starts_with("warning: no route uses upstream `unused`\n"), "{errors}");
    Ok(())
}

/// Who reads no answer has to know that there was one.
#[test]
fn an_answer_that_cannot_be_written_is_told() -> Result<()> {
    let binary = binary().display().to_string();
    let file = config_file("version: v1\n")?;
    for verb in ["doctor", "doctor -o json", "schema", "explain a:1", "check FILE", "--help", "run --help"] {
        let verb = verb.replace("FILE", &file.path().display().to_string());
        let shell = |to: &str| {
            let line = format!("{binary} {verb} >{to}");
            Process::run(std::process::Command::new("sh").args(["-c", &line]), LONG)
        };
        let errors = shell("/dev/full")?.expect_code(1)?.errors();
        ensure!(
            errors.starts_with("ambassador: cannot write the answer: No space left on device"),
            "{verb}: {errors}"
        );
        ensure!(errors.lines().count() == 1, "{verb}: {errors}");
    }
    Ok(())
}

#[test]
fn a_configuration_may_come_from_standard_input() -> Result<()> {
    let piped = |verb: &[&str], yaml: &str| {
        let mut command = std::process::Command::new(binary());
        Process::run_with_input(command.args(verb), yaml.as_bytes(), LONG)
    };
    let valid = piped(&["check", "-"], "version: v1\n")?.expect_success()?.text();
    ensure!(valid == "<stdin>: valid (0 routes, 0 upstreams)\n", "{valid}");
    let refused = piped(&["check", "-"], "version: v1\nrouts: []\n")?.expect_code(78)?.errors();
    ensure!(refused.contains(" --> <stdin>:2:1\n"), "{refused}");
    let yaml = "version: v1\ndefaults: {retry: {attempts: 3}}\n";
    let explained = piped(&["explain", "-c", "-", "a:1"], yaml)?.expect_success()?.text();
    ensure!(explained.contains("<stdin>:2:30"), "{explained}");
    Ok(())
}

#[test]
fn a_name_that_cannot_be_looked_up_is_told_with_what_it_means() -> Result<()> {
    let policy = "version: v1\nroutes:\n  - name: r\n    match: {hosts: [nowhere.invalid]}\n    retry: {attempts: 1}\n";
    let namespace = Namespace::new("cli")?;
    let finished = Ambassador::with_policy("-q", policy)?.output(&namespace, &["true"])?.expect_success()?;
    let errors = finished.errors();
    ensure!(errors.lines().count() == 1, "one line: {errors}");
    for words in ["nowhere.invalid", "they are not retried", "Is it right", "`cidrs` need no look-up"] {
        ensure!(errors.contains(words), "wanted {words:?}: {errors}");
    }
    Ok(())
}

#[test]
fn the_end_of_a_command_by_a_signal_is_called_so() -> Result<()> {
    for (end, words) in [
        ("kill -TERM $$", "CMD was killed by SIGTERM (exit code 143) and left these processes"),
        ("kill -KILL $$", "CMD was killed by SIGKILL (exit code 137) and left these processes"),
        ("exit 143", "CMD ended with exit code 143 and left these processes"),
    ] {
        let namespace = Namespace::new("cli")?;
        let ambassador = Ambassador::run("-q")?;
        let directory = tempfile::tempdir()?;
        let gate = directory.path().join("gate").display().to_string();
        let script =
            format!("(until [ -e {gate} ]; do sleep 0.05; done) >/dev/null 2>&1 & echo ready; {end}");
        let process = ambassador.spawn(&namespace, &["sh", "-c", &script])?;
        ambassador_tests::wait::until_true("a word about the orphan", LONG, || {
            process.stderr().contains("left these processes")
        })?;
        ensure!(process.stderr().contains(words), "{end}: {}", process.stderr());
        std::fs::write(&gate, "")?;
        let code = words.split("exit code ").nth(1).and_then(|rest| rest[..3].parse().ok());
        process.finish(LONG)?.expect_code(code.context("a code")?)?;
    }
    Ok(())
}
