// SPDX-License-Identifier: Apache-2.0
//! `check`, `explain` and `schema` as an operator meets them: what is printed where, and the exit codes.

use std::path::Path;
use std::process::ExitCode;

use ambassador::cli::check::{self, CheckArgs};
use ambassador::cli::explain::{self, ExplainArgs};
use ambassador::cli::schema::{self, SchemaArgs};
use clap::Parser;

#[derive(Parser)]
enum Command {
    Check(CheckArgs),
    Explain(ExplainArgs),
    Schema(SchemaArgs),
}

/// Exit code, stdout and stderr of a command line, run in the repository.
fn ambassador(arguments: &str) -> (String, String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sample = root.join("deploy/ambassador.yaml").display().to_string();
    let line = ["ambassador"].into_iter().chain(arguments.split(' '));
    let line = line.map(|argument| if argument == "SAMPLE" { sample.clone() } else { argument.to_owned() });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match Command::try_parse_from(line).expect("the arguments are valid") {
        Command::Check(args) => check::run(&args, &mut out, &mut err),
        Command::Explain(args) => explain::run(&args, &mut out, &mut err),
        Command::Schema(args) => schema::run(args, &mut out, &mut err),
    };
    let text = |bytes| String::from_utf8(bytes).expect("output is text").replace(&sample, "ambassador.yaml");
    (format!("{code:?}"), text(out), text(err))
}

fn code(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

fn with_file<T>(text: &str, run: impl FnOnce(&str) -> T) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, text).expect("the file is written");
    run(&file.display().to_string())
}

#[test]
fn a_valid_file_is_one_line_and_0() {
    let want = (code(0), "ambassador.yaml: valid (5 routes, 2 upstreams)\n".to_owned(), String::new());
    assert_eq!(ambassador("check SAMPLE"), want);
    assert_eq!(ambassador("check SAMPLE -o json"), (code(0), "[]\n".to_owned(), String::new()));
}

#[test]
fn warnings_do_not_refuse() {
    let text = "version: v1\nupstreams: [{name: u}]\n";
    let (exit, out, err) = with_file(text, |file| ambassador(&format!("check {file}")));
    assert_eq!(exit, code(0));
    assert!(out.ends_with("a.yaml: valid (0 routes, 1 upstream, 1 warning)\n"), "{out}");
    assert!(err.starts_with("warning: no route uses upstream `u`\n"), "{err}");
}

#[test]
fn a_refused_file_is_78_and_every_error() {
    let text = "version: v1\nroutes: [{name: a b}]\nfoo: 1\n";
    let (exit, out, err) = with_file(text, |file| ambassador(&format!("check {file}")));
    assert_eq!((exit, out), (code(78), String::new()));
    assert!(err.contains("`a b` is not a name") && err.contains("unknown field `foo`"), "{err}");
    assert!(err.ends_with("a.yaml: 2 errors\n"), "{err}");

    let (exit, out, err) = with_file(text, |file| ambassador(&format!("check {file} -o json")));
    assert_eq!((exit, err), (code(78), String::new()));
    let findings: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&findings[0]["line"], &findings[0]["column"]), (&2.into(), &17.into()));
    assert_eq!(findings[1]["severity"], "error");
    assert_eq!(findings[1]["message"], "unknown field `foo` in the file");
    assert!(findings[1]["help"].as_str().unwrap().starts_with("known fields: version"));
}

#[test]
fn explain_tells_route_reasons_values_and_origins() {
    insta::assert_snapshot!(ambassador("explain -c SAMPLE http://payments.internal/v1 -X POST --retry 1").1);
    insta::assert_snapshot!(ambassador("explain -c SAMPLE redis.internal:6379 --address 10.1.2.3").1);
}

#[test]
fn explain_without_a_file_tells_the_flags() {
    insta::assert_snapshot!(ambassador("explain https://api.example --retry 3 --breaker 5").1);
    insta::assert_snapshot!(ambassador("explain 127.0.0.1:5432").1);
}

#[test]
fn explain_tells_what_may_be_sent_twice() {
    let text = "version: v1\nroutes: [{name: r, retry: {attempts: 1, idempotent: IDEMPOTENT}}]\n";
    let note = |idempotent: &str, method: &str| {
        let text = text.replace("IDEMPOTENT", idempotent);
        with_file(&text, |file| ambassador(&format!("explain -c {file} http://a -X {method}"))).1
    };
    assert!(note("true", "POST").contains("note: `retry.idempotent` declares that every request"));
    assert!(note("false", "POST").contains("note: its method is not idempotent"));
    assert!(!note("false", "GET").contains("note:"));
    assert!(!note("true", "GET").contains("note:"));
}

#[test]
fn explain_tells_when_failed_connects_are_retried() {
    let text = "version: v1\nroutes: [{name: r, match: {hosts: [HOST]}, retry: {attempts: 1}}]\n";
    let noted = |host: &str, flags: &str| {
        let text = text.replace("HOST", host);
        let answer =
            with_file(&text, |file| ambassador(format!("explain -c {file} http://a.b {flags}").trim_end())).1;
        answer.lines().find(|line| line.contains("note: a failed connect")).map(str::to_owned)
    };
    assert!(noted("a.b", "").unwrap().contains("only while `run` can look the names of `hosts` up"));
    assert!(noted("'*.b'", "").unwrap().contains("is not retried: that it is this route's"));
    assert_eq!(noted("'*'", ""), None);
    assert_eq!(noted("a.b", "--mode shadow"), None);
}

#[test]
fn explain_as_json_holds_the_same() {
    let (exit, out, _) = ambassador("explain -c SAMPLE http://payments.internal/ -o json");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, answer["route"].as_str()), (code(0), Some("payments")));
    assert_eq!(answer["upstream"]["name"], "payments");
    let attempts = answer["settings"].as_array().unwrap().iter().find(|it| it["field"] == "retry.attempts");
    assert_eq!(attempts.unwrap()["origin"], "ambassador.yaml:44:17");
}

#[test]
fn explain_refuses_what_check_refuses() {
    let (exit, out, err) = with_file("version: v3\n", |file| ambassador(&format!("explain -c {file} a:1")));
    assert_eq!((exit, out), (code(78), String::new()));
    assert!(err.contains("`v3` is not a version of this document"), "{err}");
}

#[test]
fn schema_prints_the_committed_schema() {
    let committed = include_str!("../schema/ambassador.schema.json");
    assert_eq!(ambassador("schema").1, committed);
}
