// SPDX-License-Identifier: Apache-2.0
//! The order of a connection's way: a step may name only steps after it.

use super::Finding;
use super::source::{Source, contains_word};

/// The way of a connection, first step first: the module and the files that belong to it, below `ambassador/src`.
const FLOW: [(&str, &str); 7] = [
    ("net::accept", "net/accept"),
    ("net::orig_dst", "net/orig_dst"),
    ("net::detect", "net/detect"),
    ("proxy", "proxy"),
    ("layer", "layer"),
    ("upstream", "upstream"),
    ("net::dial", "net/dial"),
];

/// Findings where a step names an earlier one.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    let Some(own) = step_of(source.path) else { return Vec::new() };
    let code: Vec<(usize, &str)> = source.code().collect();
    let mut in_group = false;
    let mut findings = Vec::new();
    for (number, line) in code {
        // `use crate::{a, b::c};` may go over lines: all of them name modules of this crate.
        in_group = in_group || line.contains("use crate::{");
        for (module, _) in &FLOW[..own] {
            if names(line, module) || (in_group && contains_word(line, module)) {
                let message = format!("{} names {module}, a step before it", FLOW[own].0);
                findings.push(source.finding(number, message));
            }
        }
        in_group = in_group && !line.contains(';');
    }
    findings
}

fn step_of(path: &str) -> Option<usize> {
    let module = path.strip_prefix("ambassador/src/")?;
    FLOW.iter().position(|(_, files)| {
        module.strip_prefix(files).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    })
}

/// `crate::net::accept`, and from a neighbour in net/ also `super::accept`.
fn names(line: &str, module: &str) -> bool {
    let neighbour = module.strip_prefix("net::").map(|name| format!("super::{name}"));
    contains_word(line, &format!("crate::{module}"))
        || neighbour.is_some_and(|name| contains_word(line, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, code: &str) -> Vec<usize> {
        check(&Source::new(path, code)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_step_may_name_later_steps() {
        assert_eq!(
            found("ambassador/src/proxy/http.rs", "use crate::layer::retry;\nuse crate::net::dial;"),
            [0; 0]
        );
    }

    #[test]
    fn a_step_never_names_an_earlier_one() {
        assert_eq!(
            found("ambassador/src/layer/retry.rs", "use crate::policy;\nuse crate::proxy::http;"),
            [2]
        );
        assert_eq!(found("ambassador/src/net/dial.rs", "use super::accept::Accepted;"), [1]);
        assert_eq!(found("ambassador/src/net/detect.rs", "crate::net::accept::Accepted"), [1]);
    }

    #[test]
    fn grouped_imports_are_seen_over_several_lines() {
        let code = "use crate::{\n    policy::retry,\n    proxy::http,\n};\nfn proxy() {}";
        assert_eq!(found("ambassador/src/upstream/pool.rs", code), [3]);
    }

    #[test]
    fn modules_beside_the_flow_are_free() {
        assert_eq!(found("ambassador/src/app.rs", "use crate::net::accept;"), [0; 0]);
        assert_eq!(found("ambassador/src/net/copy.rs", "use crate::net::accept;"), [0; 0]);
        assert_eq!(found("ambassador/src/upstreams.rs", "use crate::proxy;"), [0; 0]);
    }
}
