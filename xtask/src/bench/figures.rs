// SPDX-License-Identifier: Apache-2.0
//! What the client measured of one way in one round, and medians over rounds.

use anyhow::{Context as _, Result, bail, ensure};

/// One round of one way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// `connect()`, median and 99th percentile, ns.
    pub(crate) connect: [f64; 2],
    /// From before `connect()` to the first byte, ns.
    pub(crate) first_byte: [f64; 2],
    /// Until the program knows that a port is closed, ns; whether `connect()` said so.
    pub(crate) closed: Option<([f64; 2], bool)>,
    /// New connections per second.
    pub(crate) flows: f64,
}

impl Figures {
    /// From the client's answers to `latency`, `closed` and `flows`.
    pub(crate) fn parse(latency: &str, closed: Option<&str>, flows: &str) -> Result<Self> {
        let [connect_50, connect_99, first_50, first_99] = numbers(latency)?;
        let [done, failed, took] = numbers(flows)?;
        ensure!(failed == 0.0, "{failed} of {} connections failed", done + failed);
        let closed = closed.map(numbers).transpose()?;
        Ok(Self {
            connect: [connect_50, connect_99],
            first_byte: [first_50, first_99],
            closed: closed.map(|[p50, p99, refused]| ([p50, p99], refused > 0.0)),
            flows: done / (took / 1e9),
        })
    }
}

/// The median of what `of` says of each round.
pub(crate) fn median<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The median of the ratios of two ways, each taken within one round.
pub(crate) fn ratio(rounds: &[Figures], against: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let pairs: Vec<(&Figures, &Figures)> = rounds.iter().zip(against).collect();
    median(&pairs, |(one, other)| of(one) / of(other))
}

/// The numbers of a line of the client.
pub(crate) fn numbers<const N: usize>(line: &str) -> Result<[f64; N]> {
    let parsed = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>();
    let parsed = parsed.with_context(|| format!("the client said {line:?}"))?;
    match <[f64; N]>::try_from(parsed) {
        Ok(numbers) => Ok(numbers),
        Err(_) => bail!("the client said {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_middles() {
        for (values, middle) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 3.0], 2.5)] {
            assert!((median(&values, |value| *value) - middle).abs() < f64::EPSILON);
        }
        assert!(median(&[], |value: &f64| *value).is_nan());
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let rounds = |flows: [f64; 3]| flows.map(|flows| Figures { flows, ..Figures::default() });
        // The machine was ten times slower in the second round.
        let ratio = ratio(&rounds([90.0, 9.0, 80.0]), &rounds([100.0, 10.0, 100.0]), |figures| figures.flows);
        assert!((ratio - 0.9).abs() < 1e-9);
    }

    #[test]
    fn a_failed_connection_fails_the_run() {
        assert!(Figures::parse("1 2 3 4", Some("1 2 1"), "100 0 1000000000").is_ok());
        assert!(Figures::parse("1 2 3 4", None, "100 1 1000000000").is_err());
        assert!(Figures::parse("1 2 3", None, "100 0 1000000000").is_err());
    }
}
