// SPDX-License-Identifier: Apache-2.0
//! Mode shadow: what the policies would have done is in lines, metrics and log, and nothing of it is done.

use std::time::Duration;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Answer, Driver, FaultUpstream, Link, Process, metrics};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");

fn policy(fields: &str) -> String {
    format!(
        "version: v1\ntelemetry: {{metrics: {{listen: '127.0.0.1:9464'}}}}\nroutes:\n  - name: watched\n    \
         mode: shadow\n    {fields}\n"
    )
}

/// The object of each request in JSON lines.
fn lines(errors: &str) -> Vec<Value> {
    let objects = errors.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.filter(|object| object.get("path").is_some()).collect()
}

/// Five requests for `/`, with `-o FORMAT`: the answers, the page of metrics after them, and what ambassador said.
fn five(format: &str, fields: &str, answer: Answer) -> Result<(Vec<String>, String, String)> {
    let link = Link::new()?;
    let origin = FaultUpstream::start(&link.server, Link::v4(8080), move |_| answer.clone().into())?;
    let ambassador = Ambassador::with_policy(&format!("-o {format}"), &policy(fields))?;
    let mut driver = Driver::under(&ambassador, &link.client, CLIENT)?;
    let answers = (0..5).map(|_| driver.get(origin.address(), "/")).collect::<Result<Vec<_>>>()?;
    ensure!(origin.count() == 5, "{} arrivals", origin.count());
    let page =
        Process::run(link.client.command("curl").args(["-sS", "http://127.0.0.1:9464/metrics"]), LONG)?;
    Ok((answers, page.expect_success()?.text(), driver.finish()?.errors()))
}

#[test]
fn a_breaker_that_would_be_open_is_told_and_refuses_nothing() -> Result<()> {
    let fields = "circuitBreaker: {consecutiveFailures: 2, waitDurationInOpenState: 1h}";
    let (answers, page, errors) = five("json", fields, Answer::status(503))?;
    ensure!(answers.iter().all(|answer| answer.starts_with("503") && answer.ends_with(" -")), "{answers:?}");
    ensure!(metrics::count(&page, "ambassador_rejected_requests_total", "mode=\"shadow\"")? == 3, "{page}");
    let told: Vec<Value> = lines(&errors).iter().map(|line| line["shadow"].clone()).collect();
    let open = serde_json::json!(["circuit_open"]);
    ensure!(told == [Value::Null, Value::Null, open.clone(), open.clone(), open], "{told:?}");
    let warning = errors.lines().find(|line| line.contains("WARN")).context("a warning")?;
    ensure!(
        warning.contains("circuit breaker would be open (mode shadow: it refuses nothing)")
            && warning.contains("\"route\":\"watched\"")
            && warning.contains("\"program\":\"client\",\"pid\":")
            && !warning.contains("opened"),
        "{warning}"
    );
    Ok(())
}

#[test]
fn timeouts_that_would_have_ended_something_are_told_and_counted() -> Result<()> {
    let slow = Answer::status(200).after(Duration::from_millis(300));
    let fields = "timeouts: {request: 200ms, perTry: 100ms, connect: 100ms}";
    let (answers, page, errors) = five("text", fields, slow.clone())?;
    ensure!(answers.iter().all(|answer| answer.starts_with("200")), "{answers:?}");
    for timeout in ["request", "per_try"] {
        let labels = format!("route=\"watched\",timeout=\"{timeout}\"");
        let labels = format!("mode=\"shadow\",{labels}");
        ensure!(metrics::count(&page, "ambassador_timeouts_total", &labels)? == 5, "{timeout}: {page}");
    }
    let marked = errors
        .lines()
        .filter(|line| line.contains("would end (timeout_request)  would end (timeout_per_try)"));
    ensure!(marked.count() == 5, "{errors}");

    let (_, page, errors) = five("text", "timeouts: {request: 20s, perTry: 10s}", slow)?;
    ensure!(metrics::count(&page, "ambassador_timeouts_total", "")? == 0, "{page}");
    ensure!(!errors.contains("would"), "{errors}");
    Ok(())
}

#[test]
fn a_retry_that_would_be_made_is_in_both_forms_of_a_line() -> Result<()> {
    let (_, page, errors) = five("json", "retry: {attempts: 3}", Answer::status(503))?;
    ensure!(metrics::count(&page, "ambassador_retries_total", "outcome=\"shadow\"")? == 5, "{page}");
    let told: Vec<Value> = lines(&errors).iter().map(|line| line["shadow"].clone()).collect();
    ensure!(told == vec![serde_json::json!(["retry"]); 5], "{told:?}");
    let (.., errors) = five("text", "retry: {attempts: 3}", Answer::status(503))?;
    ensure!(errors.lines().filter(|line| line.contains("would retry (503)")).count() == 5, "{errors}");
    Ok(())
}

/// A connection that says nothing for longer than `timeouts.idle`, in a mode in which policies do not act.
#[test]
fn an_idle_flow_is_not_ended_where_policies_do_not_act() -> Result<()> {
    for (mode, ends) in [("enforce", true), ("shadow", false), ("off", false)] {
        let link = Link::new()?;
        let server = "import socket\n\
                      s = socket.create_server(('10.77.0.2', 7000)); print('ready', flush=True)\n\
                      c = s.accept()[0]; c.recv(1); import time; time.sleep(1); c.sendall(b'late'); c.close()";
        let mut origin = Process::spawn(link.server.command("python3").args(["-c", server]))?;
        origin.until_stdout("ready", LONG)?;
        let program = "import socket\n\
                       c = socket.create_connection(('10.77.0.2', 7000)); c.sendall(b'\\0')\n\
                       try: print(c.recv(9))\n\
                       except OSError as e: print(e.errno)";
        let policy = policy("timeouts: {idle: 200ms}").replace("mode: shadow", &format!("mode: {mode}"));
        let ambassador = Ambassador::with_policy("-q", &policy)?;
        let finished = ambassador.output(&link.client, &["python3", "-c", program])?.expect_success()?;
        let want = if ends { "104\n" } else { "b'late'\n" };
        ensure!(finished.text() == want, "{mode}: {}", finished.text());
    }
    Ok(())
}
