// SPDX-License-Identifier: Apache-2.0
//! What a Prometheus server and an operator see: the metrics are well-formed and count what happened.

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Answer, Driver, FaultUpstream, Link, Process, Witness};
use anyhow::{Context, Result, ensure};

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const POLICY: &str = "version: v1
telemetry:
  metrics: {listen: '127.0.0.1:9464'}
routes:
  - name: flaky
    match: {ports: [8080]}
    retry: {attempts: 2}
  - name: failing
    match: {ports: [8081]}
    circuitBreaker: {consecutiveFailures: 2}
";

fn curl(link: &Link, path: &str) -> Result<String> {
    let url = format!("http://127.0.0.1:9464{path}");
    Ok(Process::run(link.client.command("curl").args(["-sSf", "-m", "5", &url]), LONG)?
        .expect_success()?
        .text())
}

/// The sum of all samples of `name` whose labels contain `labels`.
fn sample(text: &str, name: &str, labels: &str) -> Result<u64> {
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
    });
    let values = samples.map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<u64>());
    let values = values.collect::<Result<Vec<_>, _>>().with_context(|| format!("samples of {name}"))?;
    ensure!(!values.is_empty(), "no sample {name}{{{labels}}} in:\n{text}");
    Ok(values.iter().sum())
}

#[test]
fn metrics_count_what_happened_and_promtool_likes_them() -> Result<()> {
    let link = Link::new()?;
    let flaky = FaultUpstream::start(&link.server, Link::v4(8080), |arrival| {
        Answer::status(if arrival.index % 2 == 0 { 503 } else { 200 }).into()
    })?;
    let failing = FaultUpstream::start(&link.server, Link::v4(8081), |_| Answer::status(503).into())?;
    let witness = Witness::start(&link.server, Link::v4(7001))?;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    for _ in 0..5 {
        ensure!(driver.get(flaky.address(), "/")?.starts_with("200"));
        driver.get(failing.address(), "/")?;
        ensure!(driver.path_to(witness.address())? == "proxied");
    }

    for health in ["/livez", "/readyz", "/healthz"] {
        curl(&link, health)?;
    }
    let text = curl(&link, "/metrics")?;
    let promtool = Process::run_with_input(
        std::process::Command::new("promtool").args(["check", "metrics"]),
        text.as_bytes(),
        LONG,
    )?;
    ensure!(
        promtool.code() == Some(0) && promtool.errors().trim().is_empty(),
        "promtool: {}{}",
        promtool.text(),
        promtool.errors()
    );

    let seconds = "ambassador_http_client_request_duration_seconds_count";
    ensure!(sample(&text, seconds, "route=\"flaky\"")? == 5);
    ensure!(sample(&text, "ambassador_http_client_attempt_duration_seconds_count", "route=\"flaky\"")? == 10);
    ensure!(sample(&text, "ambassador_retries_total", "route=\"flaky\"")? == 5);
    ensure!(sample(&text, "ambassador_circuit_breaker_transitions_total", "")? == 1);
    ensure!(sample(&text, "ambassador_rejected_requests_total", "")? == 3);
    ensure!(sample(&text, "ambassador_bpf_connects_total", "verdict=\"redirected\"")? == 15);
    ensure!(sample(&text, "ambassador_bpf_missing_destination_total", "")? == 0);
    ensure!(sample(&text, "ambassador_build_info", "")? == 1);
    ensure!(sample(&text, "ambassador_tcp_bytes_total", "")? > 0);
    ensure!(
        text.contains("ambassador_circuit_breaker_state{") && text.contains("ambassador_connections_active")
    );
    driver.finish()?.expect_success()?;
    Ok(())
}

#[test]
fn the_breakers_of_a_route_and_of_its_upstream_are_told_apart() -> Result<()> {
    let link = Link::new()?;
    let _failing = FaultUpstream::start(&link.server, Link::v4(8081), |_| Answer::status(503).into())?;
    let policy = "version: v1
telemetry:
  metrics: {listen: '127.0.0.1:9464'}
routes:
  - name: strict
    match: {ports: [8081], hosts: ['*']}
    upstream: shop
    circuitBreaker: {consecutiveFailures: 2}
  - name: watched
    mode: shadow
    match: {hosts: ['*']}
    upstream: shop
    circuitBreaker: {consecutiveFailures: 2}
upstreams:
  - name: shop
    endpoints: [{host: 10.77.0.2, port: 8081}]
    circuitBreaker: {consecutiveFailures: 50}
";
    let ambassador = Ambassador::with_policy("-q", policy)?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    for port in [8081, 8082] {
        for _ in 0..3 {
            driver.get(Link::v4(port), "/")?;
        }
    }
    let text = curl(&link, "/metrics")?;
    // Nothing is refused by the breaker of a route in mode shadow. One that routes share refuses what is not.
    for (mode, route, state) in
        [("enforce", "", "closed"), ("enforce", "strict", "open"), ("shadow", "watched", "open")]
    {
        let labels = format!("{{mode=\"{mode}\",route=\"{route}\",state=\"{state}\",upstream=\"shop\"}}");
        ensure!(sample(&text, "ambassador_circuit_breaker_state", &labels)? == 1, "{labels}: {text}");
    }
    driver.finish()?.expect_success()?;
    Ok(())
}

#[test]
fn labels_never_come_from_the_request() -> Result<()> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).into())?;
    let ambassador = Ambassador::with_policy("-q", POLICY)?;
    let url = Link::url(origin.address().port(), "/");
    let script = format!(
        "for n in 1 2 3; do curl -s -o /dev/null -X MARKER$n -H 'Host: marker$n.example' {url}marker$n; done; \
         curl -sS http://127.0.0.1:9464/metrics"
    );
    let finished = ambassador.output(&link.client, &["sh", "-c", &script])?.expect_success()?;
    ensure!(finished.text().contains("ambassador_build_info"), "{}", finished.text());
    ensure!(!finished.text().to_lowercase().contains("marker"), "{}", finished.text());
    Ok(())
}

#[test]
fn the_access_log_has_a_line_of_json_per_request() -> Result<()> {
    let wires = Link::new()?;
    let origin = FaultUpstream::start(&wires.server, Link::v4(8080), |arrival| {
        Answer::status(if arrival.index == 0 { 503 } else { 200 }).into()
    })?;
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("access.log");
    let policy = format!(
        "version: v1\ntelemetry:\n  accessLog: {{path: {}, format: json}}\nroutes:\n  - name: all\n    retry: {{attempts: 2}}\n",
        log.display()
    );
    let ambassador = Ambassador::with_policy("-q", &policy)?;
    let url = Link::url(origin.address().port(), "/orders?id=7");
    ambassador.output(&wires.client, &["curl", "-s", "-o", "/dev/null", &url])?.expect_success()?;
    let text = std::fs::read_to_string(&log)?;
    let entry: serde_json::Value = serde_json::from_str(text.trim()).with_context(|| text.clone())?;
    for (field, want) in [("method", "GET"), ("route", "all"), ("protocol", "http")] {
        let found = entry[field].as_str().unwrap_or_default().to_lowercase();
        ensure!(found.starts_with(&want.to_lowercase()), "{field}: {entry}");
    }
    ensure!(entry["status"] == 200 && entry["attempts"] == 2, "{entry}");
    ensure!(entry["app"]["comm"] == "curl" && entry["app"]["pid"].as_u64().is_some(), "{entry}");
    Ok(())
}
