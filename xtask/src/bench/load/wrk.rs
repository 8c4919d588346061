// SPDX-License-Identifier: Apache-2.0
//! wrk: requests of HTTP/1.1, each on the next free connection.

use anyhow::{Context as _, Result, ensure};

use crate::bench::station::Station;

/// What wrk said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// The median of the time of a request, µs.
    pub(crate) median: f64,
}

/// Runs `clients` connections for `seconds`; `options` are further words.
pub(crate) fn run(station: &mut Station, clients: u32, seconds: u32, options: &str) -> Result<Outcome> {
    let address = station.destination();
    let words = format!("wrk --latency -t1 -c{clients} -d{seconds}s {options} http://{address}/");
    let text = station.output(&words)?;
    parse(&text).with_context(|| format!("{words}: {text}"))
}

fn parse(text: &str) -> Result<Outcome> {
    ensure!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "requests failed");
    let line = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
    let rate = line("Requests/sec:").context("no rate")?.trim().parse()?;
    let median = line("50%").and_then(microseconds).context("no median")?;
    let total = text.lines().find(|line| line.contains(" requests in ")).context("no requests")?;
    let requests = total.split_whitespace().next().context("no requests")?.parse()?;
    Ok(Outcome { requests, rate, median })
}

fn microseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic())?);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 1s test @ http://10.78.1.2:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.00ms    0.50ms   9.00ms   90.00%
  Latency Distribution
     50%    1.01ms
     99%    3.00ms
  61234 requests in 1.10s, 9.87MB read
Requests/sec:  55667.27
Transfer/sec:      8.97MB
";

    #[test]
    fn what_wrk_says_is_understood() {
        let outcome = Outcome { requests: 61234.0, rate: 55667.27, median: 1010.0 };
        assert_eq!(parse(TEXT).unwrap(), outcome);
        assert_eq!(microseconds(" 47.00us"), Some(47.0));
    }

    #[test]
    fn failed_requests_fail_the_run() {
        for failure in ["Socket errors: connect 0, read 3, write 0, timeout 0", "Non-2xx or 3xx responses: 7"]
        {
            assert!(parse(&format!("{TEXT}  {failure}\n")).is_err());
        }
    }
}
