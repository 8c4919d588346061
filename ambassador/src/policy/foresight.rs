// SPDX-License-Identifier: Apache-2.0
//! Whether a connect is known to belong to a route before its first byte.
//!
//! It exists because a connect that fails has no first bytes: what a route says of connects (retries, an open circuit
//! breaker) applies only as far as this goes, and whoever writes a route must be told. It must agree with
//! [`Match::test`] for a flow that claims nothing.

use super::facts::without_dot;
use super::matcher::{Match, Protocol};
use super::mode::Mode;
use super::retry::RetryCondition;
use super::route::{ConnectMode, Endpoint, Route};

/// How a connect is known to be a route's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foresight {
    /// By address, port and program.
    Certain,
    /// By the addresses of the route's names, while they can be looked up.
    WhileLookedUp,
    /// Not at all: only first bytes tell.
    None,
}

impl Match {
    /// How a connect is known to fit, on a route to `endpoints`.
    pub fn foresight(&self, endpoints: &[Endpoint]) -> Foresight {
        let speaks = self.protocol.is_some_and(|protocol| protocol != Protocol::Opaque);
        if speaks || !self.methods.is_empty() || !self.paths.is_empty() {
            return Foresight::None;
        }
        if !self.is_by_name() {
            return Foresight::Certain;
        }
        let mut named = endpoints.iter().filter(|it| self.fits_host(without_dot(&it.host)));
        if self.exact_hosts().next().is_some() || named.next().is_some() {
            Foresight::WhileLookedUp
        } else {
            Foresight::None
        }
    }
}

impl Route {
    /// How failed connects are known to be this route's, if it wants to retry them before they have succeeded.
    pub fn connect_retries(&self) -> Option<Foresight> {
        let wanted = [RetryCondition::ConnectFailure, RetryCondition::ServerError];
        let retries = self.retry.attempts > 0
            && wanted.into_iter().any(|condition| self.retry.retry_on.contains(condition));
        let held = self.mode == Mode::Enforce && self.connect == ConnectMode::Truthful;
        (retries && held).then(|| self.matcher.foresight(self.endpoints()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::facts::{L4Facts, L7Facts, Names};
    use crate::policy::matcher::{PathMatch, Verdict};

    #[test]
    fn it_agrees_with_the_test_of_a_flow_that_claims_nothing() {
        let hosts = |names: &[&str]| Match {
            hosts: names.iter().map(|name| name.parse().unwrap()).collect(),
            ..Match::default()
        };
        let of = |protocol| Match { protocol: Some(protocol), ports: vec![80], ..Match::default() };
        for (matcher, want) in [
            (Match::default(), Foresight::Certain),
            (hosts(&["*"]), Foresight::Certain),
            (of(Protocol::Opaque), Foresight::Certain),
            (hosts(&["a.example"]), Foresight::WhileLookedUp),
            (hosts(&["*.example", "a.example"]), Foresight::WhileLookedUp),
            (hosts(&["*.example"]), Foresight::None),
            (of(Protocol::Http1), Foresight::None),
            (Match { methods: vec!["GET".into()], ..Match::default() }, Foresight::None),
            (Match { paths: vec![PathMatch::Prefix("/".into())], ..hosts(&["a.example"]) }, Foresight::None),
        ] {
            assert_eq!(matcher.foresight(&[]), want, "{matcher:?}");
            let l4 = L4Facts { destination: ([10, 0, 0, 1], 80).into(), app: "" };
            let silent = L7Facts::of(Protocol::Opaque);
            let mut names = Names::default();
            let unknown = matcher.test(&l4, Some(&silent), &[], &names) == Verdict::Yes;
            names.insert("a.example", vec![[10, 0, 0, 1].into()]);
            let known = matcher.test(&l4, Some(&silent), &[], &names) == Verdict::Yes;
            let found = match (unknown, known) {
                (true, _) => Foresight::Certain,
                (false, true) => Foresight::WhileLookedUp,
                (false, false) => Foresight::None,
            };
            assert_eq!(found, want, "{matcher:?}");
        }
    }
}
