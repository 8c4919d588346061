// SPDX-License-Identifier: Apache-2.0
//! The policy flags of the command line, so that trying a policy needs no file.
//!
//! They stand above the file's `defaults` and below what a route sets for itself.

use std::time::Duration;

use crate::policy::mode::Mode;

use super::node::{At, Place};
use super::raw::{RawBreaker, RawPolicy, RawRetry, RawTimeouts};
use super::scalar::{Limit, Whole};
use super::units::{UnitError, parse_duration};
use super::words::Word;

/// Policies for every destination, given on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Policies for every destination, where its route in FILE sets none")]
pub struct PolicyFlags {
    /// Try a failed request up to N times more (0 to 100), where that is safe
    #[arg(long, value_name = "N", value_parser = parse_retries, allow_hyphen_values = true)]
    pub retry: Option<u32>,
    /// End a request after this long, all tries included (`0s`: never); begins when the connection stands
    #[arg(long, value_name = "DURATION", value_parser = parse_limit, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,
    /// End one try after this long (`0s`: never)
    #[arg(long, value_name = "DURATION", value_parser = parse_limit, allow_hyphen_values = true)]
    pub per_try_timeout: Option<Duration>,
    /// Stop sending to a destination for 30 s after N (from 1 on) failures in a row
    #[arg(long, value_name = "N", value_parser = parse_failures, allow_hyphen_values = true)]
    pub breaker: Option<u32>,
    /// Whether policies act (enforce), only say what they would have done (shadow), or rest (off)
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub mode: Option<Mode>,
}

impl PolicyFlags {
    /// The flags in the shape of the file's `defaults`, each value knowing its flag.
    pub(crate) fn to_raw(&self) -> RawPolicy {
        let timeouts = RawTimeouts {
            request: self.timeout.map(|limit| flag("--timeout", limit_of(limit))),
            per_try: self.per_try_timeout.map(|limit| flag("--per-try-timeout", limit_of(limit))),
            ..RawTimeouts::default()
        };
        let retry = self.retry.map(|attempts| RawRetry {
            attempts: Some(flag("--retry", Whole(attempts))),
            ..RawRetry::default()
        });
        let breaker = self.breaker.map(|failures| RawBreaker {
            consecutive_failures: Some(flag("--breaker", Whole(failures))),
            ..RawBreaker::default()
        });
        RawPolicy {
            mode: self.mode.map(|mode| flag("--mode", Word(mode))),
            timeouts: (timeouts != RawTimeouts::default()).then(|| flag("--timeout", timeouts)),
            retry: retry.map(|retry| flag("--retry", retry)),
            breaker: breaker.map(|breaker| flag("--breaker", breaker)),
            ..RawPolicy::default()
        }
    }
}

/// A mode that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write enforce, shadow or off")]
pub struct UnknownMode;

fn parse_mode(word: &str) -> Result<Mode, UnknownMode> {
    [Mode::Enforce, Mode::Shadow, Mode::Off].into_iter().find(|mode| mode.as_str() == word).ok_or(UnknownMode)
}

/// A number that does not fit its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongCount {
    /// Of `--retry`.
    #[error("write a whole number from 0 to {MOST_RETRIES}, of tries after the first one: `--retry 3`")]
    Retries,
    /// Of `--breaker`.
    #[error("write a whole number from 1 to {}, of failures in a row: `--breaker 5`", u32::MAX)]
    Failures,
}

/// As in the file: more would be a slip.
const MOST_RETRIES: u32 = 100;

fn parse_retries(text: &str) -> Result<u32, WrongCount> {
    text.parse().ok().filter(|retries| *retries <= MOST_RETRIES).ok_or(WrongCount::Retries)
}

fn parse_failures(text: &str) -> Result<u32, WrongCount> {
    text.parse().ok().filter(|failures| *failures > 0).ok_or(WrongCount::Failures)
}

/// A duration that does not fit its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write a number and its unit: `250ms`, `5s`, `1m30s`")]
pub struct WrongDuration(UnitError);

fn parse_limit(text: &str) -> Result<Duration, WrongDuration> {
    parse_duration(text).map_err(WrongDuration)
}

fn flag<T>(name: &'static str, value: T) -> At<T> {
    At { value, place: Place::Flag(name) }
}

fn limit_of(limit: Duration) -> Limit {
    Limit(Some(limit).filter(|limit| !limit.is_zero()))
}
