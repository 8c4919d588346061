// SPDX-License-Identifier: Apache-2.0
//! Samples of a page of metrics.

use std::iter::Sum;
use std::str::FromStr;

use anyhow::{Context, Result};

/// The sum of all samples of the counter `name` whose labels contain `label`; 0 if there is none.
pub fn count(page: &str, name: &str, label: &str) -> Result<u64> {
    sum(page, name, label)
}

/// The same of seconds.
pub fn seconds(page: &str, name: &str, label: &str) -> Result<f64> {
    sum(page, name, label)
}

fn sum<T>(page: &str, name: &str, label: &str) -> Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Sum,
{
    let lines = page.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    lines
        .map(|line| line.rsplit(' ').next().unwrap_or_default().parse().with_context(|| line.to_owned()))
        .sum()
}
