// SPDX-License-Identifier: Apache-2.0
//! The closing summary: what counts where, and how it reads.

use std::borrow::Cow;

use insta::assert_snapshot;

use super::*;
use crate::telemetry::fixtures::{dead_redis, original, refused, rescued, tls, upstream};
use crate::telemetry::labels::{BreakerCause, BreakerState, Enforcement, ErrorType};

fn counted(cap: usize, events: &[Event<'_>]) -> Summary {
    let destinations = Destinations::new(cap);
    for event in events {
        destinations.record(event);
    }
    destinations.summary(0)
}

fn opened(host: Option<&'static str>) -> Event<'static> {
    Event::from(BreakerTransition {
        route: None,
        destination: upstream("payments"),
        enforcement: Enforcement::Enforce,
        by: Arc::from("payments"),
        host: host.map(Cow::Borrowed),
        caller: rescued().caller,
        from: BreakerState::Closed,
        to: BreakerState::Open,
        cause: BreakerCause::ConsecutiveFailures,
        why: "failure rate 50 %".to_owned(),
        open_for: Some(Duration::from_secs(30)),
    })
}

fn to(host: &str) -> Event<'_> {
    RequestFinished { host: Cow::Borrowed(host), ..rescued() }.into()
}

#[test]
fn table() {
    let events = [
        rescued().into(),
        rescued().into(),
        refused().into(),
        opened(Some("api.example")),
        tls().into(),
        dead_redis().into(),
    ];
    let mut summary = counted(8, &events);
    summary.access_log_dropped = 3;
    assert_snapshot!("table_text", summary.to_text());
    assert_snapshot!("table_json", summary.to_json());
}

/// Such a connect is no failure of the destination, and whoever reads "0 failed" would believe that all was well.
#[test]
fn connects_that_nothing_answered_are_told_where_there_are_some() {
    let unanswered = FlowFinished { error: Some(ErrorType::ConnectUnanswered), ..dead_redis() };
    let text = counted(8, &[unanswered.clone().into(), unanswered.into(), rescued().into()]).to_text();
    assert_snapshot!(text);
}

#[test]
fn a_run_without_connections_says_so() {
    assert_snapshot!(counted(8, &[]).to_text());
}

#[test]
fn one_destination_is_one_row_however_it_is_spelt() {
    let events = [to("API.example"), to("api.example:80"), to("api.example")];
    let summary = counted(8, &events);
    assert_eq!(summary.rows.len(), 1);
    assert_eq!((&*summary.rows[0].name, summary.rows[0].requests), ("api.example", 3));
}

#[test]
fn beyond_the_cap_destinations_are_other() {
    let summary = counted(2, &[to("a"), to("b"), to("c"), to("d"), to("b")]);
    let rows: Vec<_> = summary.rows.iter().map(|row| (&*row.name, row.requests)).collect();
    assert_eq!(rows, [("b", 2), ("a", 1), ("other", 2)]);
}

#[test]
fn a_name_that_no_host_can_have_is_counted_by_address() {
    let long = "x".repeat(4_000);
    for host in ["", &*long] {
        assert_eq!(counted(8, &[to(host)]).rows[0].name, "192.0.2.1:80");
    }
}

#[test]
fn a_hostile_name_is_escaped_in_table_and_json() {
    let summary = counted(8, &[to("h\u{1b}[2J\n\u{9b}")]);
    let (text, json) = (summary.to_text(), summary.to_json());
    assert!(text.contains("h\\x1b[2j\\n\\u{9b}"), "{text:?}");
    assert_eq!(text.lines().count(), 3);
    assert!(json.contains("h\\u001b[2j\\n\\u009b"), "{json:?}");
}

#[test]
fn only_what_the_destination_did_is_a_failure() {
    let status = |status| RequestFinished { status: Some(status), ..rescued() };
    let grpc = |grpc| RequestFinished { grpc_status: Some(grpc), ..rescued() };
    let error = |error| RequestFinished { error: Some(error), ..rescued() };
    for (request, want) in [
        (status(200), false),
        (status(404), false),
        (status(500), true),
        (grpc(0), false),
        (grpc(5), false),
        (grpc(14), true),
        (error(ErrorType::Reset), true),
        (error(ErrorType::ClientGone), false),
    ] {
        assert_eq!(request.is_failure(), want, "{request:?}");
    }
}

#[test]
fn the_port_of_a_tls_destination_is_named_unless_it_is_443() {
    let https = FlowFinished { destination: original("192.0.2.7:443"), ..tls() };
    let names: Vec<_> =
        counted(8, &[https.into(), tls().into()]).rows.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["db.example", "db.example:5432"]);
}
