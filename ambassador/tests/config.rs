// SPDX-License-Identifier: Apache-2.0
//! The configuration as a whole: the sample, the defaults, who wins, and where each value comes from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ambassador::config::flags::PolicyFlags;
use ambassador::config::load::{Loaded, from_flags, from_text, load};
use ambassador::config::origin::Scope;
use ambassador::config::problem::Problem;
use ambassador::config::settings::{AccessLog, Config, LogFormat};
use ambassador::policy::breaker::{BreakerPolicy, SlidingWindow};
use ambassador::policy::matcher::Protocol;
use ambassador::policy::mode::Mode;
use ambassador::policy::retry::{RetryCondition, RetryOn};
use ambassador::policy::route::{ConnectMode, OnProxyDown, Route};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn sample() -> Config {
    load(&repository("deploy/ambassador.yaml"), &PolicyFlags::default()).expect("the sample is valid").config
}

fn compiled(text: &str, flags: &PolicyFlags) -> Config {
    match from_text("ambassador.yaml", text, flags) {
        Ok(Loaded { config, .. }) => config,
        Err(report) => panic!("{report}"),
    }
}

fn origin(config: &Config, scope: Scope, field: &'static str) -> String {
    config.origins.of(scope, field).to_string()
}

#[test]
fn the_sample_is_valid_and_without_warnings() {
    let loaded = load(&repository("deploy/ambassador.yaml"), &PolicyFlags::default()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn the_sample_compiles_to_what_it_says() {
    let config = sample();
    let [payments, stock, reports, partner, cache] = &config.table.routes[..] else { panic!("five routes") };
    assert_eq!(payments.retry.attempts, 3);
    assert!(payments.retry.retry_on.contains(RetryCondition::RetriableStatusCodes));
    assert_eq!(payments.retry.retriable_status_codes, [429]);
    assert_eq!(payments.timeouts.per_try, Some(Duration::from_secs(3)));
    assert_eq!(payments.timeouts.connect, Duration::from_secs(1));
    let upstream = payments.upstream.as_ref().unwrap();
    assert_eq!(upstream.endpoints[0].port, 8080);
    assert_eq!(upstream.limits.max_wait, Some(Duration::from_millis(50)));
    let breaker = upstream.breaker.as_ref().unwrap();
    assert_eq!(breaker.window, Some(SlidingWindow::Count(50)));
    assert_eq!(breaker.permitted_number_of_calls_in_half_open_state, 5);
    assert!(stock.retry.idempotent && stock.retry.retry_on.contains(RetryCondition::ResourceExhausted));
    assert_eq!(stock.matcher.protocol, Some(Protocol::Http2));
    assert_eq!(partner.connect, ConnectMode::Eager);
    let window = partner.breaker.as_ref().unwrap().window;
    assert_eq!(window, Some(SlidingWindow::Time(Duration::from_mins(1))));
    assert_eq!((reports.mode, reports.upstream.is_none()), (Mode::Shadow, true));
    assert_eq!(cache.declared_protocol, Some(Protocol::Opaque));
    assert_eq!(config.intercept.exclude_ports, [22]);
    assert!(!config.intercept.loopback);
    let log = AccessLog { path: PathBuf::from("/dev/stderr"), format: LogFormat::Json };
    assert_eq!(config.telemetry.access_log, Some(log));
}

/// The breaker that routes share refuses as soon as one of them lets it.
#[test]
fn an_upstream_has_the_mode_of_the_route_that_does_most() {
    let text = "\
version: v1
defaults: {mode: shadow}
routes:
  - {name: a, match: {ports: [1]}, upstream: watched}
  - {name: b, match: {ports: [2]}, upstream: mixed}
  - {name: c, match: {ports: [3]}, upstream: mixed, mode: enforce}
  - {name: d, match: {ports: [4]}, upstream: off, mode: off}
upstreams: [{name: watched}, {name: mixed}, {name: off}]
";
    let config = compiled(text, &PolicyFlags::default());
    let modes: Vec<Mode> = config.upstreams.iter().map(|upstream| upstream.mode).collect();
    assert_eq!(modes, [Mode::Shadow, Mode::Enforce, Mode::Off]);
    let flags = PolicyFlags { mode: Some(Mode::Enforce), ..PolicyFlags::default() };
    assert_eq!(compiled(text, &flags).upstreams[0].mode, Mode::Enforce);
}

#[test]
fn zero_configuration_changes_nothing() {
    let config = from_flags(&PolicyFlags::default()).unwrap().config;
    assert_eq!(*config.table.default_route, Route::default());
    assert_eq!(config, Config { origins: config.origins.clone(), ..Config::default() });
    assert_eq!(compiled("version: v1\n", &PolicyFlags::default()).table, config.table);
}

#[test]
fn flags_alone_make_the_default_route() {
    let flags = PolicyFlags {
        retry: Some(3),
        timeout: Some(Duration::from_secs(5)),
        per_try_timeout: Some(Duration::from_secs(2)),
        breaker: Some(5),
        mode: None,
    };
    let config = from_flags(&flags).unwrap().config;
    let route = &config.table.default_route;
    assert!(!route.transparent);
    assert_eq!((route.retry.attempts, route.retry.retry_on), (3, RetryOn::default()));
    assert_eq!(route.timeouts.request, Some(Duration::from_secs(5)));
    assert_eq!(route.timeouts.per_try, Some(Duration::from_secs(2)));
    assert_eq!(route.timeouts.connect, Duration::from_secs(1));
    assert_eq!(route.breaker, Some(BreakerPolicy::consecutive(5)));
    for (field, want) in [
        ("retry.attempts", "--retry"),
        ("timeouts.request", "--timeout"),
        ("timeouts.perTry", "--per-try-timeout"),
        ("circuitBreaker.consecutiveFailures", "--breaker"),
        ("timeouts.connect", "default"),
    ] {
        assert_eq!(origin(&config, Scope::DefaultRoute, field), want);
    }
}

#[test]
fn wrong_flags_are_findings_too() {
    let seconds = |s| Some(Duration::from_secs(s));
    let flags = PolicyFlags { timeout: seconds(2), per_try_timeout: seconds(3), ..PolicyFlags::default() };
    let report = from_flags(&flags).unwrap_err();
    assert_eq!(report.findings()[0].file, "--per-try-timeout");
    assert!(
        report.to_string().starts_with("error: --per-try-timeout: the timeout of one try (3s)"),
        "{report}"
    );
}

#[test]
fn the_route_wins_over_flags_and_flags_over_defaults() {
    let text = "\
version: v1
defaults:
  timeouts: {request: 9s, idle: 8s, connect: 2s}
  retry: {attempts: 1, backoff: {base: 5ms}}
  circuitBreaker: {consecutiveFailures: 7, waitDurationInOpenState: 3s}
  connectionPool: {maxRequests: 10, maxRetries: 2}
routes:
  - name: own
    timeouts: {request: 0s}
    retry: {attempts: 2}
    upstream: u
upstreams:
  - name: u
    connectionPool: {maxRequests: 20}
";
    let flags = PolicyFlags { retry: Some(5), ..PolicyFlags::default() };
    let config = compiled(text, &flags);
    let (own, default) = (&config.table.routes[0], &config.table.default_route);
    assert_eq!((own.retry.attempts, default.retry.attempts), (2, 5));
    assert_eq!((own.timeouts.request, default.timeouts.request), (None, Some(Duration::from_secs(9))));
    assert_eq!(own.timeouts.idle, Some(Duration::from_secs(8)));
    assert_eq!(own.retry.backoff.base, Duration::from_millis(5));
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.limits.max_requests, upstream.limits.max_retries), (Some(20), Some(2)));
    assert_eq!(upstream.breaker, default.breaker, "the breaker of `defaults` is the upstream's …");
    assert_eq!(own.breaker, None, "… and not once more the route's");
    for (scope, field, want) in [
        (Scope::Route(0), "retry.attempts", "ambassador.yaml:10:23"),
        (Scope::Route(0), "timeouts.request", "ambassador.yaml:9:25"),
        (Scope::Route(0), "timeouts.idle", "ambassador.yaml:3:33"),
        (Scope::Route(0), "retry.maxReplayBytes", "default"),
        (Scope::DefaultRoute, "retry.attempts", "--retry"),
        (Scope::DefaultRoute, "retry.backoff.base", "ambassador.yaml:4:40"),
        (Scope::Upstream(0), "connectionPool.maxRequests", "ambassador.yaml:14:35"),
        (Scope::Upstream(0), "connectionPool.maxRetries", "ambassador.yaml:6:49"),
    ] {
        assert_eq!(origin(&config, scope, field), want, "{field}");
    }
}

#[test]
fn a_route_without_policies_stays_transparent() {
    let config =
        compiled("version: v1\nroutes:\n  - name: a\n    match: {ports: [80]}\n", &PolicyFlags::default());
    assert!(config.table.routes[0].transparent);
    assert_eq!(config.table.routes[0].timeouts.connect, Duration::from_secs(10));
    let config =
        compiled("version: v1\nroutes:\n  - name: a\n    timeouts: {idle: 1m}\n", &PolicyFlags::default());
    assert!(!config.table.routes[0].transparent);
    assert_eq!(config.table.routes[0].timeouts.connect, Duration::from_secs(1));
}

#[test]
fn what_denies_does_not_fail_open() {
    let config = compiled("version: v1\noutboundTrafficPolicy: Deny\n", &PolicyFlags::default());
    assert!(config.table.deny_unmatched);
    assert_eq!(config.table.default_route.on_proxy_down, OnProxyDown::Refuse);
}

#[test]
fn both_forms_of_the_breaker_hold_together() {
    let text =
        "version: v1\ndefaults: {circuitBreaker: {consecutiveFailures: 4, slidingWindow: {size: 20}}}\n";
    let config = compiled(text, &PolicyFlags::default());
    let breaker = config.table.default_route.breaker.clone().unwrap();
    assert_eq!((breaker.consecutive_failures, breaker.window), (Some(4), Some(SlidingWindow::Count(20))));
    assert_eq!(breaker.minimum_number_of_calls, 20, "never more than the window holds");
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "\
version: v1
defaults:
  timeouts: &limits {request: 4s, perTry: 1s}
routes:
  - name: a
    timeouts: {<<: *limits, perTry: 2s}
";
    let config = compiled(text, &PolicyFlags::default());
    let limits = &config.table.routes[0].timeouts;
    assert_eq!(
        (limits.request, limits.per_try),
        (Some(Duration::from_secs(4)), Some(Duration::from_secs(2)))
    );
    assert_eq!(origin(&config, Scope::Route(0), "timeouts.request"), "ambassador.yaml:3:31");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let report = load(Path::new("/nonexistent/ambassador.yaml"), &PolicyFlags::default()).unwrap_err();
    let text = report.to_string();
    assert!(
        text.starts_with("error: /nonexistent/ambassador.yaml: cannot read the configuration: No such file"),
        "{text}"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latin1.yaml");
    std::fs::write(&file, b"version: v1\nroutes: [{name: caf\xe9}]\n").unwrap();
    let report = load(&file, &PolicyFlags::default()).unwrap_err();
    assert_eq!(report.diagnostics[0].problem, Problem::NotUtf8);
    assert_eq!((report.findings()[0].line, report.findings()[0].column), (2, 20));
}

#[test]
fn a_report_shows_every_place() {
    let text = "version: v1\nroutes:\n  - name: a\n    retry: {atempts: 3}\n    timeouts: {request: 10}\n";
    let report = from_text("ambassador.yaml", text, &PolicyFlags::default()).unwrap_err();
    insta::assert_snapshot!(report);
}
