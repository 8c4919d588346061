// SPDX-License-Identifier: Apache-2.0
//! The lines as they are written: their shape is part of the interface.

use std::borrow::Cow;
use std::time::Duration;

use insta::assert_snapshot;

use super::*;
use crate::telemetry::event::{FlowFinished, MissingDestination, RequestFinished};
use crate::telemetry::fixtures::{dead_redis, refused, rescued, tls};
use crate::telemetry::labels::{ErrorType, GivenUpReason};

fn lines(format: Format, events: &[Event<'_>]) -> String {
    let now = Timestamp::from_millisecond(1_795_168_500_007).unwrap();
    events.iter().map(|event| line(format, event, now).unwrap()).collect()
}

fn everything() -> Vec<Event<'static>> {
    let gone = RequestFinished {
        status: None,
        error: Some(ErrorType::ClientGone),
        duration: Duration::from_secs(3),
        attempts: 1,
        retry_reason: None,
        ..rescued()
    };
    let proxy_form = RequestFinished { path: Cow::Borrowed("http://api.example/x"), ..gone.clone() };
    let grpc = RequestFinished { status: Some(200), error: None, grpc_status: Some(14), ..gone.clone() };
    let no_host = RequestFinished { host: Cow::Borrowed(""), path: Cow::Borrowed("*"), ..gone.clone() };
    vec![
        rescued().into(),
        refused().into(),
        gone.into(),
        proxy_form.into(),
        grpc.into(),
        no_host.into(),
        tls().into(),
        dead_redis().into(),
    ]
}

#[test]
fn text_lines() {
    assert_snapshot!(lines(Format::Text(Colour::Never), &everything()));
}

#[test]
fn json_lines() {
    assert_snapshot!(lines(
        Format::Json,
        &[rescued().into(), refused().into(), tls().into(), dead_redis().into()]
    ));
}

#[test]
fn why_there_was_no_retry_is_in_both_forms() {
    let given_up = Some(GivenUpReason::NotIdempotent);
    let text = lines(
        Format::Text(Colour::Never),
        &[
            RequestFinished { given_up, ..rescued() }.into(),
            FlowFinished { given_up: Some(GivenUpReason::LimitExceeded), ..dead_redis() }.into(),
        ],
    );
    assert!(text.contains("  2 attempts (503)  not retried (not_idempotent)  curl[123]\n"), "{text}");
    assert!(text.contains("  3 dials  not retried (limit_exceeded)  redis-cli[123]\n"), "{text}");
    let line = lines(Format::Json, &[RequestFinished { given_up, ..rescued() }.into()]);
    assert!(line.contains(r#","retry_given_up":"not_idempotent","#), "{line}");
    let flow = FlowFinished { given_up, ..dead_redis() };
    let line = lines(Format::Json, &[flow.into()]);
    assert!(line.contains(r#","retry_given_up":"not_idempotent","#), "{line}");
    assert!(!lines(Format::Json, &[rescued().into(), tls().into()]).contains("given_up"));
}

#[test]
fn what_mode_shadow_did_not_do_is_in_both_forms() {
    use crate::telemetry::labels::ShadowDecision as Would;
    let mut watched = RequestFinished { attempts: 1, rescued: false, ..rescued() };
    for decision in [Would::TimeoutPerTry, Would::Retry, Would::CircuitOpen] {
        watched.shadow.add(decision);
    }
    let text = lines(Format::Text(Colour::Never), &[watched.clone().into()]);
    let want = "  would refuse (circuit_open)  would retry (503)  would end (timeout_per_try)  curl[123]\n";
    assert!(text.ends_with(want), "{text}");
    watched.given_up = Some(GivenUpReason::CircuitOpen);
    let text = lines(Format::Text(Colour::Never), &[watched.clone().into()]);
    assert!(text.contains("  would not retry (circuit_open)  would refuse (circuit_open)  "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&lines(Format::Json, &[watched.into()])).unwrap();
    assert_eq!(json["shadow"], serde_json::json!(["circuit_open", "retry", "timeout_per_try"]));
    assert!(!lines(Format::Json, &[rescued().into()]).contains("shadow"));
}

#[test]
fn colours_are_reset_at_once() {
    let line = lines(Format::Text(Colour::Always), &[rescued().into()]);
    assert_eq!(line.matches("\u{1b}[0m").count(), line.matches("\u{1b}[").count() / 2);
    assert!(line.contains("\u{1b}[32m200\u{1b}[0m"), "{line:?}");
}

#[test]
fn traffic_can_neither_forge_a_line_nor_drive_a_terminal() {
    let hostile = RequestFinished {
        method: Cow::Borrowed("GET\n"),
        host: Cow::Borrowed("h\u{9b}31m\u{202e}"),
        path: Cow::Borrowed("/\r\nambassador  GET http://forged/  200\u{1b}[2J\u{7f}\""),
        ..rescued()
    };
    for format in [Format::Text(Colour::Never), Format::Json] {
        let line = lines(format, &[hostile.clone().into()]);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(line.strip_suffix('\n').is_some_and(|line| !line.chars().any(escape::is_unsafe)), "{line:?}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&lines(Format::Json, &[hostile.clone().into()])).unwrap();
    assert_eq!(json["path"], *hostile.path);
    assert_eq!(json["host"], *hostile.host);
}

#[test]
fn a_long_path_is_cut_in_text_and_whole_in_json() {
    let path = format!("/{}", "ü".repeat(5_000));
    let long = RequestFinished { path: Cow::Borrowed(&path), ..rescued() };
    assert!(lines(Format::Text(Colour::Never), &[long.clone().into()]).chars().count() < 300);
    assert!(lines(Format::Json, &[long.into()]).contains(&path));
}

#[test]
fn only_requests_and_relayed_flows_have_a_line() {
    let event = Event::from(MissingDestination { client: "127.0.0.1:1".parse().unwrap() });
    assert_eq!(line(Format::Json, &event, Timestamp::UNIX_EPOCH), None);
}
