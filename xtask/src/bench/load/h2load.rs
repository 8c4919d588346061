// SPDX-License-Identifier: Apache-2.0
//! h2load: requests of HTTP/2, many at once on each connection.

use anyhow::{Context as _, Result, ensure};

use crate::bench::station::Station;

/// What h2load said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: f64,
    /// Requests per second.
    pub(crate) rate: f64,
}

/// Runs `clients` connections of `streams` requests each for `seconds`.
pub(crate) fn run(station: &mut Station, clients: u32, streams: u32, seconds: u32) -> Result<Outcome> {
    let address = station.destination();
    let words = format!("h2load -t1 -c{clients} -m{streams} -D{seconds} http://{address}/");
    let text = station.output(&words)?;
    parse(&text).with_context(|| format!("{words}: {text}"))
}

fn parse(text: &str) -> Result<Outcome> {
    let rate = between(text, "finished in ", " req/s").and_then(|part| part.rsplit(' ').next());
    let rate = rate.context("no rate")?.parse()?;
    let number = |before, after| between(text, before, after)?.rsplit(' ').next()?.parse::<f64>().ok();
    let requests = number("requests: ", " succeeded").context("no requests")?;
    for (before, after) in
        [(" succeeded, ", " failed"), (" failed, ", " errored"), (" errored, ", " timeout")]
    {
        ensure!(number(before, after) == Some(0.0), "requests failed");
    }
    ensure!(
        number("status codes: ", " 2xx").is_some_and(|good| good >= requests),
        "not every status was 2xx"
    );
    Ok(Outcome { requests, rate })
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split_once(after).map(|(part, _)| part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "finished in 1.00s, 31234.00 req/s, 1.50MB/s
requests: 31234 total, 31334 started, 31234 done, 31234 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 31234 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn what_h2load_says_is_understood() {
        assert_eq!(parse(TEXT).unwrap(), Outcome { requests: 31234.0, rate: 31234.0 });
    }

    #[test]
    fn failed_requests_fail_the_run() {
        assert!(parse(&TEXT.replace("0 errored", "2 errored")).is_err());
        assert!(parse(&TEXT.replace("31234 2xx, 0 3xx", "31200 2xx, 34 3xx")).is_err());
    }
}
