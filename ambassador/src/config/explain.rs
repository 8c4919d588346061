// SPDX-License-Identifier: Apache-2.0
//! Which route a request would take and what then applies: the answer of `ambassador explain`, as data.
//!
//! It asks the very table that the data path asks, so that it cannot tell another story.

use std::net::IpAddr;

use serde::Serialize;

use crate::policy::facts::{L4Facts, L7Facts, Names};
use crate::policy::foresight::Foresight;
use crate::policy::matcher::{Protocol, WhyNot};
use crate::policy::retry::{RetryPolicy, is_idempotent};
use crate::policy::route::{Explanation, Route};

use super::describe::{Setting, describe_route, describe_upstream};
use super::settings::Config;
use super::target::Target;

/// What a program would do.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What it dials.
    pub target: &'a Target,
    /// The HTTP method.
    pub method: &'a str,
    /// Its name; empty if unknown.
    pub app: &'a str,
    /// The address that the host resolves to, if known.
    pub address: Option<IpAddr>,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The request in words.
    pub request: String,
    /// The routes in order, up to the one that matches.
    pub considered: Vec<Considered>,
    /// The name of the route that applies.
    pub route: String,
    /// No route matches, and that is denied.
    pub denied: bool,
    /// Whether it comes to ambassador at all; if not, nothing else of the answer applies.
    pub intercepted: bool,
    /// Nothing is configured for it: failures are passed on as if ambassador were not there.
    pub transparent: bool,
    /// What the answer leaves open.
    pub notes: Vec<&'static str>,
    /// The route's values.
    pub settings: Vec<Setting>,
    /// The upstream's values, if the route names one.
    pub upstream: Option<ExplainedUpstream>,
}

/// One route's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The route's name.
    pub name: String,
    /// Whether it matches.
    pub matches: bool,
    /// The key of the criterion that does not hold.
    pub because: Option<&'static str>,
}

/// The upstream of the route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedUpstream {
    /// Its name.
    pub name: String,
    /// Its values.
    pub settings: Vec<Setting>,
}

/// Asks the table of `config`.
pub fn explain(config: &Config, question: &Question<'_>) -> Explained {
    let target = question.target;
    let destination = target.destination(question.address);
    let l4 = L4Facts { destination, app: question.app };
    let is_http = target.protocol == Protocol::Http1;
    let claims = |protocol| (target.protocol == protocol).then_some(target.host.as_str());
    let l7 = L7Facts {
        host: claims(Protocol::Http1),
        sni: claims(Protocol::Tls),
        method: is_http.then_some(question.method),
        path: target.path.as_deref(),
        ..L7Facts::of(target.protocol)
    };
    let mut names = Names::default();
    names.insert(&target.host, vec![destination.ip()]);

    let mut verdicts = config.table.explain(&l4, &l7, &names);
    let chosen = verdicts.iter().position(|it| it.verdict.is_ok());
    verdicts.truncate(chosen.map_or(verdicts.len(), |chosen| chosen + 1));
    let selection = config.table.select(&l4, &l7, &names);
    let route = selection.route;
    let bypass = bypass(config, question);
    let mut notes = notes(question, &verdicts);
    if !route.endpoints().is_empty() && route.matcher.is_by_name() {
        notes.push(
            "the upstream's endpoints are used only if the program dials an address of that host, or of an endpoint; \
             otherwise the request goes where it was dialled, and is counted as a host mismatch",
        );
    }
    if selection.denied {
        notes.push("no route matches and `outboundTrafficPolicy` is Deny: it is refused");
    } else if route.transparent {
        notes.push(
            "no policy is configured for it: it is relayed and counted, and failures are passed on unchanged",
        );
    }
    notes.extend(connects(route));
    if is_http && route.mode.decides() {
        notes.extend(repetition(&route.retry, question.method));
    }
    if let Some(bypass) = bypass {
        notes = vec![bypass];
    }
    Explained {
        request: words(question),
        intercepted: bypass.is_none(),
        considered: verdicts
            .iter()
            .map(|it| Considered {
                name: it.route.name.to_string(),
                matches: it.verdict.is_ok(),
                because: it.verdict.err().map(WhyNot::key),
            })
            .collect(),
        route: route.name.to_string(),
        denied: selection.denied,
        transparent: route.transparent,
        notes,
        settings: describe_route(config, chosen),
        upstream: route.upstream.as_ref().map(|upstream| ExplainedUpstream {
            name: upstream.name.to_string(),
            settings: describe_upstream(config, upstream),
        }),
    }
}

/// What may come twice to the origin, where that is not what the method says.
fn repetition(retry: &RetryPolicy, method: &str) -> Option<&'static str> {
    if retry.attempts == 0 || is_idempotent(method) {
        return None;
    }
    Some(if retry.idempotent {
        "`retry.idempotent` declares that every request of the route may be sent twice: this one is retried though its \
         origin may have acted on it"
    } else {
        "its method is not idempotent: it is retried only if its origin provably did not process it, or if it carries an \
         `Idempotency-Key`; no status is such a proof (`retry.idempotent: true` declares every request of the route safe)"
    })
}

/// What a route's retries mean for a connect that fails, of which nothing else is known.
fn connects(route: &Route) -> Option<&'static str> {
    match route.connect_retries()? {
        Foresight::Certain => None,
        Foresight::WhileLookedUp => Some(
            "a failed connect is retried only while `run` can look the names of `hosts` up where it runs (nothing is looked up \
             here); until then only requests are retried. `cidrs` or `ports` instead of `hosts` need no look-up",
        ),
        Foresight::None => Some(
            "a failed connect is not retried: that it is this route's only first bytes could tell (`connect: eager` lets a \
             connect succeed at once and retries its request)",
        ),
    }
}

fn words(question: &Question<'_>) -> String {
    let Target { host, port, protocol, path } = question.target;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let by = if question.app.is_empty() { String::new() } else { format!(" by {}", question.app) };
    match protocol {
        Protocol::Http1 => {
            let path = path.as_deref().unwrap_or("/");
            format!("{} http://{host}:{port}{path}{by}", question.method)
        }
        Protocol::Tls => format!("TLS to {host}:{port}{by}"),
        _ => format!("connection to {host}:{port}{by}"),
    }
}

/// Why such a connection never comes to ambassador, if so.
fn bypass(config: &Config, question: &Question<'_>) -> Option<&'static str> {
    let target = question.target;
    let known = is_known(question);
    let ip = target.destination(question.address).ip();
    if config.intercept.exclude_ports.contains(&target.port)
        || (known && config.intercept.exclude_cidrs.iter().any(|net| net.contains(&ip)))
    {
        Some("`intercept.exclude` leaves this connection alone: it goes direct, and no route applies")
    } else if known && ip.is_loopback() && !config.intercept.loopback {
        Some(
            "loopback is left alone unless `intercept.loopback` is true: it goes direct, and no route applies",
        )
    } else {
        None
    }
}

/// Whether the address is known, without a look-up.
fn is_known(question: &Question<'_>) -> bool {
    question.address.is_some() || question.target.host.parse::<IpAddr>().is_ok()
}

fn notes(question: &Question<'_>, verdicts: &[Explanation]) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let target = question.target;
    let refused =
        |whys: &[WhyNot]| verdicts.iter().any(|it| it.verdict.is_err_and(|why| whys.contains(&why)));
    if refused(&[WhyNot::Cidr]) && !is_known(question) {
        notes.push("nothing is looked up: `cidrs` match only if --address gives the host's address");
    }
    if target.protocol == Protocol::Opaque && refused(&[WhyNot::Protocol, WhyNot::Method, WhyNot::Path]) {
        notes.push("taken as a connection of an unknown protocol; for an HTTP request write its URL");
    }
    if target.protocol == Protocol::Tls {
        notes.push("TLS that the program makes is opaque: only its server name is seen, not methods, paths or statuses");
    }
    notes
}
