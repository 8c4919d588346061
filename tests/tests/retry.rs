// SPDX-License-Identifier: Apache-2.0
//! Retries save what is safe to repeat, never repeat what is not, and stay within their budget and deadline.

use std::time::Duration;

use ambassador_tests::{Ambassador, Answer, FaultUpstream, Finished, Link, Reply, summary, wait};
use anyhow::{Context, Result, ensure};

const PORT: u16 = 8080;

fn origin(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Result<(Link, FaultUpstream)> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(PORT), move |arrival| script(arrival.index))?;
    Ok((link, origin))
}

fn ok() -> Reply {
    Answer::status(200).into()
}

fn unavailable() -> Reply {
    Answer::status(503).into()
}

/// curl with `arguments` to the path `/`, printing the status of each request on a line of its own.
fn curl(ambassador: &Ambassador, link: &Link, arguments: &[&str]) -> Result<Finished> {
    let url = Link::url(PORT, "/");
    let words = ["curl", "-s", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}\n"];
    ambassador.output(&link.client, &[&words[..], arguments, &[&url]].concat())
}

/// A GET of 1000 URLs on kept connections.
fn thousand(ambassador: &Ambassador, link: &Link) -> Result<Finished> {
    let url = Link::url(PORT, "/[1-1000]");
    ambassador.output(&link.client, &["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}\n", &url])
}

fn count(finished: &Finished, status: &str) -> usize {
    finished.text().lines().filter(|line| *line == status).count()
}

#[test]
fn a_503_every_third_time_is_never_seen() -> Result<()> {
    let (link, origin) = origin(|index| if index % 3 == 2 { unavailable() } else { ok() })?;
    let ambassador = Ambassador::with_policy("-o json", WIDE_BUDGET)?;
    let finished = thousand(&ambassador, &link)?.expect_success()?;
    ensure!(count(&finished, "200") == 1000, "{} of 1000 are 200", count(&finished, "200"));
    let destination = summary::destination(&finished.errors(), &Link::v4(PORT).to_string())?;
    ensure!(destination.count("failures")? == 0, "{destination:?}");
    let saved = u64::try_from(origin.count() - 1000)?;
    ensure!(
        saved >= 333 && destination.count("rescued_by_retry")? == saved,
        "{saved} retries: {destination:?}"
    );
    Ok(())
}

#[test]
fn what_ends_as_it_began_was_saved_by_no_retry() -> Result<()> {
    let (link, origin) = origin(|_| Answer::status(429).into())?;
    let yaml = "version: v1
routes:
  - name: all
    retry: {attempts: 2, retryOn: [retriable-status-codes], retriableStatusCodes: [429]}
";
    let finished = curl(&Ambassador::with_policy("-o json", yaml)?, &link, &[])?.expect_success()?;
    ensure!(count(&finished, "429") == 1 && origin.count() == 3, "{} arrivals", origin.count());
    let destination = summary::destination(&finished.errors(), &Link::v4(PORT).to_string())?;
    ensure!(destination.count("rescued_by_retry")? == 0, "{destination:?}");
    Ok(())
}

#[test]
fn without_a_policy_a_503_is_the_answer() -> Result<()> {
    let (link, origin) = origin(|_| unavailable())?;
    let finished = curl(&Ambassador::run("-q")?, &link, &[])?.expect_success()?;
    ensure!(count(&finished, "503") == 1 && origin.count() == 1, "{} arrivals", origin.count());
    Ok(())
}

#[test]
fn a_post_that_was_read_and_reset_arrives_exactly_once() -> Result<()> {
    let (link, origin) = origin(|_| Reply::Reset)?;
    let finished = curl(&Ambassador::run("--retry 3 -q")?, &link, &["-d", "amount=100"])?;
    let arrivals = origin.arrivals();
    ensure!(arrivals.len() == 1 && arrivals[0].body == b"amount=100", "{arrivals:?}");
    ensure!(count(&finished, "200") == 0, "{}", finished.text());
    Ok(())
}

#[test]
fn a_post_answered_with_503_arrives_exactly_once() -> Result<()> {
    let (link, origin) = origin(|_| unavailable())?;
    let finished = curl(&Ambassador::run("--retry 3 -q")?, &link, &["-d", "amount=100"])?.expect_success()?;
    ensure!(count(&finished, "503") == 1 && origin.count() == 1, "{} arrivals", origin.count());
    Ok(())
}

#[test]
fn a_post_with_an_idempotency_key_is_repeated_with_its_body() -> Result<()> {
    let (link, origin) = origin(|index| if index == 0 { Reply::Reset } else { ok() })?;
    let arguments = ["-d", "amount=100", "-H", "Idempotency-Key: 7"];
    let finished = curl(&Ambassador::run("--retry 3 -q")?, &link, &arguments)?.expect_success()?;
    let arrivals = origin.arrivals();
    ensure!(count(&finished, "200") == 1 && arrivals.len() == 2, "{arrivals:?}");
    ensure!(arrivals[0].body == arrivals[1].body && arrivals[0].head == arrivals[1].head, "{arrivals:?}");
    Ok(())
}

#[test]
fn a_get_reset_before_its_answer_is_repeated() -> Result<()> {
    for fault in [Reply::Reset, Reply::Close] {
        let (link, origin) = origin(move |index| if index == 0 { fault.clone() } else { ok() })?;
        let finished = curl(&Ambassador::run("--retry 3 -q")?, &link, &[])?.expect_success()?;
        ensure!(count(&finished, "200") == 1 && origin.count() == 2, "{} arrivals", origin.count());
    }
    Ok(())
}

#[test]
fn an_answer_that_broke_off_is_not_repeated() -> Result<()> {
    let (link, origin) = origin(|_| Reply::ResetMidway)?;
    let finished = curl(&Ambassador::run("--retry 3 -q")?, &link, &[])?;
    ensure!(
        finished.code() != Some(0) && origin.count() == 1,
        "{} arrivals, {}",
        origin.count(),
        finished.status
    );
    Ok(())
}

#[test]
fn a_refused_connect_is_retried_also_for_a_post() -> Result<()> {
    let (link, mut origin) = origin(|_| ok())?;
    origin.tcp.refuse();
    let policy = policy("retry: {attempts: 10, backoff: {base: 200ms, max: 400ms}}");
    let ambassador = Ambassador::with_policy("-q", &policy)?;
    let url = Link::url(PORT, "/");
    let process =
        ambassador.spawn(&link.client, &["curl", "-s", "-w", "%{http_code}\n", "-d", "amount=100", &url])?;
    wait::until_true("group of the command", Duration::from_secs(10), || {
        !ambassador.cgroup.children().is_empty()
    })?;
    wait::pass(Duration::from_millis(300));
    origin.tcp.listen(&link.server)?;
    let finished = process.finish(Duration::from_secs(30))?.expect_success()?;
    ensure!(
        count(&finished, "200") == 1 && origin.count() == 1,
        "{}: {} arrivals",
        finished.text(),
        origin.count()
    );
    Ok(())
}

#[test]
fn a_body_above_the_replay_limit_streams_once() -> Result<()> {
    let (link, origin) = origin(|index| if index == 0 { unavailable() } else { ok() })?;
    let body = tempfile::NamedTempFile::new()?;
    std::fs::write(body.path(), vec![b'x'; 512 * 1024])?;
    let file = body.path().to_str().context("a temporary path is UTF-8")?.to_owned();
    let finished = curl(&Ambassador::run("--retry 3 -q")?, &link, &["-T", &file])?.expect_success()?;
    ensure!(count(&finished, "503") == 1 && origin.count() == 1, "{} arrivals", origin.count());
    ensure!(origin.arrivals()[0].body.len() == 512 * 1024);
    Ok(())
}

#[test]
fn a_thousand_failures_stay_within_the_budget() -> Result<()> {
    let (link, origin) = origin(|_| unavailable())?;
    let finished = thousand(&Ambassador::run("--retry 3 -q")?, &link)?.expect_success()?;
    ensure!(count(&finished, "503") == 1000, "{} of 1000 are 503", count(&finished, "503"));
    // 20 % of the requests, 10 a second, and the reserve of 10 a second for the budget's ttl of 10 s.
    let allowed = 1000 + 200 + 100 + 10 * (usize::try_from(finished.took.as_secs())? + 1);
    ensure!((1001..=allowed).contains(&origin.count()), "{} arrivals, {allowed} allowed", origin.count());
    Ok(())
}

#[test]
fn retry_after_is_waited_for_when_it_fits_the_deadline() -> Result<()> {
    let late = || Answer::status(503).header("Retry-After: 1").into();
    let (link, origin) = origin(move |index| if index == 0 { late() } else { ok() })?;
    let finished = curl(&Ambassador::run("--retry 3 --timeout 10s -q")?, &link, &[])?.expect_success()?;
    let arrivals = origin.arrivals();
    ensure!(count(&finished, "200") == 1 && arrivals.len() == 2, "{}", finished.text());
    let waited = arrivals[1].at - arrivals[0].at;
    ensure!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&waited), "waited {waited:?}");
    Ok(())
}

#[test]
fn retry_after_beyond_the_deadline_fails_at_once() -> Result<()> {
    let (link, origin) = origin(|_| Answer::status(503).header("Retry-After: 60").into())?;
    let finished = curl(&Ambassador::run("--retry 3 --timeout 5s -q")?, &link, &[])?.expect_success()?;
    ensure!(count(&finished, "503") == 1 && origin.count() == 1, "{} arrivals", origin.count());
    ensure!(finished.took < Duration::from_secs(4), "took {:?}", finished.took);
    Ok(())
}

#[test]
fn a_try_that_is_too_slow_is_repeated() -> Result<()> {
    let slow = || Answer::status(200).after(Duration::from_secs(20)).into();
    let (link, origin) = origin(move |index| if index == 0 { slow() } else { ok() })?;
    let ambassador = Ambassador::run("--retry 2 --per-try-timeout 300ms -q")?;
    let finished = curl(&ambassador, &link, &[])?.expect_success()?;
    ensure!(count(&finished, "200") == 1 && origin.count() == 2, "{} arrivals", origin.count());
    ensure!(finished.took < Duration::from_secs(5), "took {:?}", finished.took);
    Ok(())
}

#[test]
fn a_post_whose_connection_takes_too_long_goes_to_another_endpoint() -> Result<()> {
    let (link, origin) = origin(|_| ok())?;
    // Nobody has the first address: its dial waits for longer than one try may take, so nothing of the POST is sent.
    let policy = "version: v1\nroutes:\n  - name: all\n    upstream: pair\n    timeouts: {connect: 10s, perTry: 300ms, request: 10s}\n    retry: {attempts: 3, retryOn: [reset]}\nupstreams:\n  - name: pair\n    endpoints: [{host: 10.77.0.9, port: 8080}, {host: 10.77.0.2, port: 8080}]\n";
    let post = ["-X", "POST", "-d", "once"];
    let finished = curl(&Ambassador::with_policy("-q", policy)?, &link, &post)?.expect_success()?;
    ensure!(count(&finished, "200") == 1, "{}", finished.text());
    ensure!(origin.count() == 1, "{} arrivals", origin.count());
    Ok(())
}

#[test]
fn a_flow_keeps_its_connections_to_many_endpoints() -> Result<()> {
    let link = Link::new()?;
    let origins: Vec<FaultUpstream> = (8080..8088)
        .map(|port| FaultUpstream::start(&link.server, Link::v4(port), |_| ok()))
        .collect::<Result<_>>()?;
    let endpoints: Vec<String> =
        (8080..8088).map(|port| format!("{{host: 10.77.0.2, port: {port}}}")).collect();
    let policy = format!(
        "version: v1\nroutes:\n  - name: all\n    upstream: many\nupstreams:\n  - name: many\n    endpoints: [{}]\n",
        endpoints.join(", ")
    );
    let finished = thousand(&Ambassador::with_policy("-q", &policy)?, &link)?.expect_success()?;
    ensure!(count(&finished, "200") == 1000, "{}", count(&finished, "200"));
    let accepted: usize = origins.iter().map(|origin| origin.tcp.accepted()).sum();
    ensure!(accepted <= 2 * origins.len(), "{accepted} connections to {} endpoints", origins.len());
    Ok(())
}

#[test]
fn a_try_whose_connection_ended_does_not_end_the_programs() -> Result<()> {
    let last = || Answer::status(503).header("Connection: close").then_close().into();
    let (link, origin) = origin(move |index| if index == 0 { last() } else { ok() })?;
    let url = Link::url(PORT, "/[1-2]");
    let words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", &url];
    let finished = Ambassador::run("--retry 1 -q")?.output(&link.client, &words)?.expect_success()?;
    ensure!(finished.text() == "200 1\n200 0\n" && origin.count() == 3, "{}", finished.text());
    Ok(())
}

#[test]
fn the_timeout_bounds_the_whole_request() -> Result<()> {
    let (link, _origin) = origin(|_| Answer::status(200).after(Duration::from_secs(20)).into())?;
    let ambassador = Ambassador::run("--retry 50 --timeout 1s --per-try-timeout 300ms -q")?;
    let finished = curl(&ambassador, &link, &[])?.expect_success()?;
    ensure!(count(&finished, "504") == 1, "{}", finished.text());
    ensure!(finished.took < Duration::from_secs(5), "took {:?}", finished.took);
    Ok(())
}

#[test]
fn a_stale_connection_is_never_seen_as_an_error() -> Result<()> {
    // The origin closes after each answer without saying so: a kept connection may die under the next request.
    let (link, origin) = origin(|_| Answer::status(200).then_close().into())?;
    let finished = thousand(&Ambassador::run("-q")?, &link)?.expect_success()?;
    ensure!(count(&finished, "200") == 1000 && origin.count() >= 1000, "{}", count(&finished, "200"));
    Ok(())
}

/// The declaration of a route, and nothing less: the origin has answered, so it may have acted.
#[test]
fn a_post_that_was_answered_is_repeated_only_on_an_idempotent_route() -> Result<()> {
    for (idempotent, arrivals) in [("", 1), (", idempotent: false", 1), (", idempotent: true", 3)] {
        let (link, origin) = origin(|index| if index < 2 { unavailable() } else { ok() })?;
        let policy = policy(&format!("retry: {{attempts: 3, retryOn: [5xx]{idempotent}}}"));
        let ambassador = Ambassador::with_policy("-q", &policy)?;
        let finished = curl(&ambassador, &link, &["-d", "item=7"])?.expect_success()?;
        let status = if arrivals == 3 { "200" } else { "503" };
        ensure!(count(&finished, status) == 1, "{idempotent}: {}", finished.text());
        ensure!(origin.count() == arrivals, "{idempotent}: {} arrivals", origin.count());
    }
    Ok(())
}

#[test]
fn shadow_mode_says_but_does_not_act() -> Result<()> {
    let (link, origin) = origin(|_| unavailable())?;
    let policy = policy("mode: shadow\n    retry: {attempts: 3}");
    let finished = curl(&Ambassador::with_policy("-q", &policy)?, &link, &[])?.expect_success()?;
    ensure!(count(&finished, "503") == 1 && origin.count() == 1, "{} arrivals", origin.count());
    Ok(())
}

fn policy(fields: &str) -> String {
    format!("version: v1\nroutes:\n  - name: all\n    {fields}\n")
}

const WIDE_BUDGET: &str = "version: v1
routes:
  - name: all
    retry: {attempts: 3, retryOn: [gateway-error], budget: {retryRatio: 1.0, minRetriesPerSecond: 1000}}
";
