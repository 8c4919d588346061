// SPDX-License-Identifier: Apache-2.0
//! From events to the page that Prometheus reads.

use std::borrow::Cow;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{io, thread};

use insta::assert_snapshot;

use super::*;
use crate::telemetry::event::{
    AttemptFinished, BreakerCreated, BreakerTransition, ConnectFinished, HostMismatch, MissingDestination,
    Rejected, RequestFinished, Retried, RetryGivenUp,
};
use crate::telemetry::fixtures::{dead_redis, original, refused, rescued, tls, upstream};
use crate::telemetry::handles::CALLS_MOST;
use crate::telemetry::labels::{
    BreakerCause, BreakerState, Enforcement, ErrorType, GivenUpReason, RejectReason, RetryOutcome,
};

fn live(options: Options) -> (Telemetry, Guard) {
    Telemetry::new(options).unwrap()
}

/// One event of each kind.
fn everything() -> Vec<Event<'static>> {
    let route: Arc<str> = Arc::from("payments");
    let attempt = AttemptFinished {
        route: Cow::Borrowed("payments"),
        destination: upstream("payments"),
        status: Some(503),
        error: None,
        duration: Duration::from_millis(3),
    };
    let dial = ConnectFinished {
        destination: upstream("payments"),
        duration: Duration::from_micros(400),
        error: None,
    };
    let created = BreakerCreated {
        destination: upstream("payments"),
        route: None,
        enforcement: Enforcement::Enforce,
        state: BreakerState::Closed,
    };
    let opened = BreakerTransition {
        destination: upstream("payments"),
        route: None,
        enforcement: Enforcement::Enforce,
        by: Arc::from("payments"),
        host: None,
        caller: refused().caller,
        from: BreakerState::Closed,
        to: BreakerState::Open,
        cause: BreakerCause::FailureRate,
        why: "failure rate 50 %".to_owned(),
        open_for: Some(Duration::from_secs(30)),
    };
    let mismatch = HostMismatch {
        route: Arc::clone(&route),
        host: Cow::Borrowed("api.example"),
        endpoint: "192.0.2.9:80".parse().unwrap(),
    };
    vec![
        rescued().into(),
        RequestFinished { grpc_status: Some(14), ..refused() }.into(),
        attempt.into(),
        tls().into(),
        ConnectFinished { error: Some(ErrorType::ConnectRefused), ..dial.clone() }.into(),
        dial.into(),
        created.into(),
        opened.into(),
        Rejected {
            route: Arc::clone(&route),
            reason: RejectReason::CircuitOpen,
            enforcement: Enforcement::Enforce,
        }
        .into(),
        Retried { route: Arc::clone(&route), outcome: RetryOutcome::Success }.into(),
        RetryGivenUp { route, reason: GivenUpReason::BodyOverCap }.into(),
        mismatch.into(),
        MissingDestination { client: "127.0.0.1:1".parse().unwrap() }.into(),
    ]
}

fn full_page() -> String {
    let (telemetry, _guard) = live(Options::default());
    telemetry.set_kernel_counters(Box::new(|| {
        vec![
            ("ambassador_bpf_connects_total", "redirect", 7),
            ("ambassador_bpf_connects_total", "pass", 2),
            ("ambassador_bpf_stale_total", "", 1),
            ("ambassador_bpf_missing_destination_total", "", 9),
        ]
    }));
    let _open = telemetry.connection(Protocol::Http1);
    drop(telemetry.connection(Protocol::Opaque));
    for event in everything() {
        telemetry.emit(&event);
    }
    telemetry.metrics_page().unwrap()
}

#[test]
fn metrics_page() {
    let page = full_page();
    let stable = |line: &&str| {
        !line.contains("_bucket{")
            && !line.starts_with("process_")
            && !line.starts_with("ambassador_build_info")
    };
    let page: Vec<&str> = page.lines().filter(stable).collect();
    assert_snapshot!(page.join("\n"));
}

#[test]
fn promtool_finds_nothing_to_say() {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = tool.expect("promtool (Debian package prometheus) is needed: cargo xtask setup");
    tool.stdin.take().unwrap().write_all(full_page().as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && said.iter().all(String::is_empty), "{said:?}");
}

#[test]
fn destinations_beyond_the_cap_share_one_label() {
    let (telemetry, _guard) = live(Options { labelled_destinations: 2, ..Options::default() });
    for host in 1..=9 {
        let destination = original(&format!("192.0.2.{host}:80"));
        telemetry.emit(&RequestFinished { destination: destination.clone(), ..rescued() }.into());
        telemetry.emit(
            &BreakerCreated {
                destination,
                route: None,
                enforcement: Enforcement::Enforce,
                state: BreakerState::Closed,
            }
            .into(),
        );
    }
    let page = telemetry.metrics_page().unwrap();
    let count = |upstream: &str| {
        let label = format!("upstream=\"{upstream}\"");
        let series = |line: &&str| line.contains("request_duration_seconds_count") && line.contains(&label);
        page.lines().find(series).map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    assert_eq!(count("192.0.2.1:80").as_deref(), Some("1"));
    assert_eq!(count("192.0.2.3:80"), None);
    assert_eq!(count("other").as_deref(), Some("7"));
    assert!(!page.contains("breaker_state{state=\"closed\",upstream=\"other\"}"));
}

#[test]
fn hostile_statuses_and_methods_add_one_series() {
    let (telemetry, _guard) = live(Options::default());
    for status in 600..900 {
        let method = Cow::Owned(format!("M{status}"));
        telemetry.emit(
            &RequestFinished { method, status: Some(status), grpc_status: Some(status), ..rescued() }.into(),
        );
    }
    let page = telemetry.metrics_page().unwrap();
    assert_eq!(page.lines().filter(|line| line.contains("request_duration_seconds_count{")).count(), 1);
    assert_eq!(page.lines().filter(|line| line.starts_with("ambassador_grpc_responses_total{")).count(), 1);
}

#[test]
fn workers_and_registries_do_not_mix_their_handles() {
    let (one, _guard_one) = live(Options::default());
    let (two, _guard_two) = live(Options::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50 {
                    one.emit(&rescued().into());
                    two.emit(&refused().into());
                }
            });
        }
    });
    for (telemetry, status) in [(one, "200"), (two, "503")] {
        let page = telemetry.metrics_page().unwrap();
        let counts: Vec<_> =
            page.lines().filter(|line| line.contains("request_duration_seconds_count{")).collect();
        assert_eq!(counts.len(), 1);
        assert!(counts[0].contains(status) && counts[0].ends_with(" 100"), "{counts:?}");
        assert_eq!(telemetry.summary().rows[0].requests, 100);
    }
}

#[test]
fn the_guard_writes_every_queued_line() {
    struct Sink(Sender<Vec<u8>>);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sink, written) = channel();
    let log = AccessLog::new(Box::new(Sink(sink)), Format::Json);
    let (telemetry, guard) = live(Options { access_log: Some(log), ..Options::default() });
    for _ in 0..500 {
        telemetry.emit(&rescued().into());
    }
    telemetry.emit(&dead_redis().into());
    drop(guard);
    let text: Vec<u8> = written.iter().flatten().collect();
    assert_eq!(text.split(|byte| *byte == b'\n').count(), 502);
    assert_eq!(telemetry.summary().access_log_dropped, 0);
}

#[test]
fn a_recorder_keeps_what_was_said() {
    let (telemetry, recorder) = Telemetry::recording();
    for event in everything() {
        telemetry.emit(&event);
    }
    assert_eq!(recorder.take(), everything());
    assert_eq!(recorder.take(), []);
    Telemetry::silent().emit(&rescued().into());
}

#[test]
fn calls_are_told_apart_up_to_a_bound() {
    let (telemetry, _guard) = live(Options::default());
    let calls =
        (100..600).flat_map(|status| ["GET", "PUT", "HEAD", "POST", "PATCH"].map(|method| (status, method)));
    for (status, method) in calls.clone() {
        for destination in [original("192.0.2.1:80"), original("192.0.2.2:80")] {
            let call = RequestFinished {
                status: Some(status),
                method: Cow::Borrowed(method),
                destination,
                ..rescued()
            };
            telemetry.emit(&call.into());
        }
    }
    let page = telemetry.metrics_page().unwrap();
    let name = "ambassador_http_client_request_duration_seconds_count{";
    let series: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(name)).collect();
    assert_eq!(series.len(), CALLS_MOST + 1);
    let count = |line: &&str| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    assert_eq!(series.iter().map(count).sum::<usize>(), 2 * calls.count(), "none is lost");
    assert_eq!(series.iter().filter(|line| line.contains("upstream=\"other\"")).count(), 1);
}
