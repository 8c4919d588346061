// SPDX-License-Identifier: Apache-2.0
//! What the demo prints: the direct run and the run under ambassador, side by side.
//!
//! Both columns come from what the client printed and what reached the upstreams; only what saved a request, and what the
//! circuit breaker did, is ambassador's own word.

use ambassador_tests::summary::{self, Destination};
use anyhow::{Context, Result};

use super::upstream::{ALL, HANGING};

/// What the client saw in one run, and what ambassador said about it.
pub(super) struct Run {
    requests: Vec<Request>,
    /// What came to the upstream that hangs.
    hung: usize,
    summary: Vec<Destination>,
    log: String,
}

struct Request {
    host: String,
    succeeded: bool,
    milliseconds: f64,
}

impl Run {
    /// From the client's lines alone.
    pub(super) fn of_direct(stdout: &str, hung: usize) -> Result<Self> {
        let requests = stdout.lines().map(Request::parse).collect::<Result<_>>()?;
        Ok(Self { requests, hung, summary: Vec::new(), log: String::new() })
    }

    /// From the client's lines and ambassador's messages and closing summary.
    pub(super) fn of_ambassador(stdout: &str, stderr: &str, hung: usize) -> Result<Self> {
        let summary = summary::destinations(stderr);
        Ok(Self { summary, log: stderr.to_owned(), ..Self::of_direct(stdout, hung)? })
    }

    fn succeeded(&self, host: &str) -> String {
        let all = self.requests.iter().filter(|request| request.host == host);
        let succeeded = all.clone().filter(|request| request.succeeded).count();
        format!("{succeeded} of {}", all.count())
    }

    /// Milliseconds of the requests to `host`, in order.
    fn times(&self, host: &str) -> Vec<f64> {
        let of_host = self.requests.iter().filter(|request| request.host == host);
        let mut times: Vec<f64> = of_host.map(|request| request.milliseconds).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn latency(&self, host: &str) -> String {
        let times = self.times(host);
        let median = times.len().div_ceil(2).saturating_sub(1);
        let [median, longest] =
            [median, times.len().saturating_sub(1)].map(|at| times.get(at).unwrap_or(&0.0));
        format!("{median:.1} / {longest:.1} ms")
    }

    fn waited(&self, host: &str) -> String {
        format!("{:.1} s", self.times(host).iter().sum::<f64>() / 1000.0)
    }

    fn destination(&self, host: &str) -> Option<&Destination> {
        self.summary.iter().find(|destination| destination.name().ends_with(port_of(host)))
    }

    fn retries(&self, host: &str) -> String {
        let saved = self.destination(host).and_then(|destination| destination.count("rescued_by_retry").ok());
        saved.map_or_else(|| "-".to_owned(), |saved| saved.to_string())
    }

    fn breaker(&self, host: &str) -> String {
        let states = summary::breaker_states(&self.log, port_of(host));
        if states.is_empty() { "-".to_owned() } else { states.join(" → ").to_uppercase() }
    }
}

impl Request {
    fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [host, status, seconds] = words.as_slice() else {
            anyhow::bail!("the client printed {line:?}");
        };
        let seconds: f64 = seconds.parse().with_context(|| format!("the client printed {line:?}"))?;
        Ok(Self { host: (*host).to_owned(), succeeded: *status == "200", milliseconds: seconds * 1000.0 })
    }
}

/// `:PORT`: ambassador may know a destination by its name or by its address.
fn port_of(host: &str) -> &str {
    host.find(':').map_or(host, |colon| &host[colon..])
}

/// The table.
pub(super) fn side_by_side(direct: &Run, under: &Run) -> String {
    let mut lines = vec![row("", "directly", "under ambassador")];
    for (host, what) in ALL {
        lines.push(format!("{host} ({what})"));
        lines.push(row("  succeeded", &direct.succeeded(host), &under.succeeded(host)));
        if host == HANGING {
            lines.push(row("  the client waited", &direct.waited(host), &under.waited(host)));
            lines.push(row("  requests it had to bear", &direct.hung.to_string(), &under.hung.to_string()));
            lines.push(row("  circuit breaker", &direct.breaker(host), &under.breaker(host)));
        } else {
            lines.push(row("  saved by a retry", &direct.retries(host), &under.retries(host)));
            lines.push(row("  median / longest", &direct.latency(host), &under.latency(host)));
        }
    }
    lines.join("\n") + "\n"
}

fn row(label: &str, direct: &str, under: &str) -> String {
    format!("{label:<28}{direct:<22}{under}")
}

#[cfg(test)]
mod tests {
    use super::super::upstream::{FLAKY, RESTARTING};
    use super::*;

    const CLIENT: &str =
        "payments.example:8080 200 0.010\npayments.example:8080 503 0.002\ninventory.example:8081 000 1\n";

    #[test]
    fn a_run_counts_success_and_latency_per_host() -> Result<()> {
        let run = Run::of_direct(CLIENT, 0)?;
        assert_eq!(run.succeeded(FLAKY), "1 of 2");
        assert_eq!(
            (run.latency(FLAKY), run.waited(RESTARTING)),
            ("2.0 / 10.0 ms".to_owned(), "1.0 s".to_owned())
        );
        assert_eq!(run.succeeded(RESTARTING), "0 of 1");
        assert_eq!(run.retries(FLAKY), "-");
        Ok(())
    }

    #[test]
    fn what_ambassador_says_is_found_by_port() -> Result<()> {
        let stderr = r#"{"level":"WARN","target":"ambassador::breaker","fields":{"endpoint":"10.77.0.2:8080","to":"open"}}
            {"destinations":[{"name":"10.77.0.2:8080","rescued_by_retry":7}]}"#;
        let run = Run::of_ambassador(CLIENT, stderr, 0)?;
        assert_eq!((run.retries(FLAKY), run.breaker(FLAKY)), ("7".to_owned(), "OPEN".to_owned()));
        assert_eq!(run.breaker(RESTARTING), "-");
        Ok(())
    }

    #[test]
    fn a_line_that_is_no_result_is_an_error() {
        assert!(Run::of_direct("curl: not found", 0).is_err());
    }
}
