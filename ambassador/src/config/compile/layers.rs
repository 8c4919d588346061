// SPDX-License-Identifier: Apache-2.0
//! Who wins: the route, then the command line, then the file's `defaults`, field by field.
//!
//! A circuit breaker is taken whole from the first layer that has one: half of one and half of another would be a
//! breaker that nobody wrote.

use crate::config::node::{At, Place};
use crate::config::origin::{Origins, Scope};
use crate::config::problem::Problem;
use crate::config::raw::{RawBreaker, RawLimits, RawPolicy, RawRetry, RawRoute, RawTimeouts};
use crate::config::reader::Reader;
use crate::config::words::Word;
use crate::policy::mode::Mode;
use crate::policy::route::{ConnectMode, OnProxyDown};

/// The policy fields that one layer sets.
#[derive(Clone, Copy, Default)]
pub(super) struct Layer<'a> {
    pub(super) mode: Option<&'a At<Word<Mode>>>,
    pub(super) timeouts: Option<&'a At<RawTimeouts>>,
    pub(super) retry: Option<&'a At<RawRetry>>,
    pub(super) breaker: Option<&'a At<RawBreaker>>,
    pub(super) limits: Option<&'a At<RawLimits>>,
    pub(super) on_proxy_down: Option<&'a At<Word<OnProxyDown>>>,
    pub(super) connect: Option<&'a At<Word<ConnectMode>>>,
}

/// Layers of one route or upstream, strongest first, and the places where findings and origins go.
pub(super) struct Layers<'a, 'b> {
    pub(super) scope: Scope,
    pub(super) stack: Vec<Layer<'a>>,
    pub(super) origins: &'b mut Origins,
    pub(super) reader: &'b mut Reader,
}

impl<'a> From<&'a RawPolicy> for Layer<'a> {
    fn from(raw: &'a RawPolicy) -> Self {
        Self {
            mode: raw.mode.as_ref(),
            timeouts: raw.timeouts.as_ref(),
            retry: raw.retry.as_ref(),
            breaker: raw.breaker.as_ref(),
            limits: raw.limits.as_ref(),
            on_proxy_down: raw.on_proxy_down.as_ref(),
            connect: raw.connect.as_ref(),
        }
    }
}

impl<'a> From<&'a RawRoute> for Layer<'a> {
    fn from(raw: &'a RawRoute) -> Self {
        Self {
            mode: raw.mode.as_ref(),
            timeouts: raw.timeouts.as_ref(),
            retry: raw.retry.as_ref(),
            breaker: raw.breaker.as_ref(),
            limits: raw.limits.as_ref(),
            on_proxy_down: raw.on_proxy_down.as_ref(),
            connect: raw.connect.as_ref(),
        }
    }
}

impl Layer<'_> {
    /// Whether it asks for anything that a program could notice.
    pub(super) fn configures(&self) -> bool {
        self.timeouts.is_some() || self.retry.is_some() || self.breaker.is_some() || self.limits.is_some()
    }
}

impl<'a> Layers<'a, '_> {
    /// The value of the strongest layer that sets it; its place is remembered as the origin of `field`.
    pub(super) fn pick<T>(
        &mut self,
        field: &'static str,
        value: impl Fn(&Layer<'a>) -> Option<&'a At<T>>,
    ) -> Option<&'a At<T>> {
        let found = self.stack.iter().find_map(value)?;
        self.origins.note(self.scope, field, found.place);
        Some(found)
    }

    /// As `pick`, below a value of the scope's own.
    pub(super) fn own_or<T: Clone + 'a>(
        &mut self,
        field: &'static str,
        own: Option<&At<T>>,
        value: impl Fn(&Layer<'a>) -> Option<&'a At<T>>,
    ) -> Option<At<T>> {
        let found = own.or_else(|| self.stack.iter().find_map(value))?.clone();
        self.origins.note(self.scope, field, found.place);
        Some(found)
    }

    /// As `pick`, for a value that is taken as it is.
    pub(super) fn note<'v, T>(&mut self, field: &'static str, value: Option<&'v At<T>>) -> Option<&'v T> {
        let found = value?;
        self.origins.note(self.scope, field, found.place);
        Some(&found.value)
    }

    /// Whether `broken` holds of no layer, so that a rule between values can be judged.
    pub(super) fn are_sound(&self, broken: impl Fn(&Layer<'a>) -> Option<bool>) -> bool {
        !self.stack.iter().any(|layer| broken(layer).unwrap_or(false))
    }

    /// Notes a finding.
    pub(super) fn problem(&mut self, place: Place, problem: Problem) {
        self.reader.problem(place, problem);
    }
}
