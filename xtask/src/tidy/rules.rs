// SPDX-License-Identifier: Apache-2.0
//! The rules that look at one file.

use super::source::{Source, contains_word};
use super::{Finding, flow};

/// All findings in one file.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    let mut findings = machine_paths(source);
    if source.is_rust() {
        for rule in [length, license, marks, walls, flow::check] {
            findings.extend(rule(source));
        }
    }
    findings
}

fn length(source: &Source<'_>) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let message =
        || format!("{lines} lines: more than {MAX_LINES}; it holds more than one concept, part them");
    if lines > MAX_LINES { vec![source.finding(0, message())] } else { Vec::new() }
}

fn license(source: &Source<'_>) -> Vec<Finding> {
    if source.text.lines().next() == Some(SPDX) {
        return Vec::new();
    }
    vec![source.finding(1, format!("the first line must be `{SPDX}`"))]
}

/// Unfinished work, and tests that do not test.
fn marks(source: &Source<'_>) -> Vec<Finding> {
    let found = source.lines().flat_map(|(number, line)| {
        let marks = MARKS.iter().filter(move |(mark, _)| contains_word(line, mark));
        marks.map(move |(mark, why)| (number, format!("`{mark}`: {why}")))
    });
    found.map(|(number, message)| source.finding(number, message)).collect()
}

/// Who may name what: the boundaries of the architecture that a `use` can show.
fn walls(source: &Source<'_>) -> Vec<Finding> {
    let Some(module) = source.path.strip_prefix("ambassador/src/") else { return Vec::new() };
    let walls: Vec<&Wall> = WALLS.iter().filter(|wall| wall.stands_before(module)).collect();
    let found = source.code().flat_map(|(number, line)| {
        let broken = walls.iter().filter(move |wall| wall.words.iter().any(|word| contains_word(line, word)));
        broken.map(move |wall| (number, wall.rule.to_owned()))
    });
    found.map(|(number, message)| source.finding(number, message)).collect()
}

/// Directories of people and machines: they say nothing to anybody else.
fn machine_paths(source: &Source<'_>) -> Vec<Finding> {
    let of_machine = |line: &str| MACHINE_PATHS.iter().any(|path| line.contains(path));
    let lines = source.lines().filter(|(_, line)| of_machine(line));
    lines.map(|(number, _)| source.finding(number, "a path of one machine".to_owned())).collect()
}

impl Source<'_> {
    pub(super) fn finding(&self, line: usize, message: String) -> Finding {
        Finding { path: self.path.to_owned(), line, message }
    }
}

/// Words that only some modules of `ambassador` may use.
struct Wall {
    rule: &'static str,
    words: &'static [&'static str],
    /// Where the words are forbidden: below this directory of `ambassador/src` (all of it: the empty string) …
    inside: &'static str,
    /// … but not in files whose path starts so.
    but_not: &'static [&'static str],
}

impl Wall {
    fn stands_before(&self, module: &str) -> bool {
        module.starts_with(self.inside) && !self.but_not.iter().any(|path| module.starts_with(path))
    }
}

const WALLS: [Wall; 4] = [
    Wall {
        rule: "only kernel/ names aya",
        words: &["aya", "aya_log", "aya_obj"],
        inside: "",
        but_not: &["kernel/", "kernel.rs"],
    },
    Wall {
        rule: "policy/ is pure: no runtime, no sockets, no files, no clock; `now` and `rng` are arguments",
        words: &[
            "tokio",
            "hyper",
            "std::fs",
            "std::env",
            "std::process",
            "std::io",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "Instant::now",
            "SystemTime::now",
        ],
        inside: "policy/",
        but_not: &[],
    },
    Wall {
        rule: "net::dial is the only connect(): it marks the socket so that it is never intercepted",
        words: &[
            "TcpStream::connect",
            "UnixStream::connect",
            "TcpSocket::connect",
            "libc::connect",
            "socket::connect",
        ],
        inside: "",
        // The self-test is to be intercepted.
        but_not: &["net/dial", "net/probe"],
    },
    Wall {
        rule: "setns only in netns/, on a thread of its own that hands back fds",
        words: &["setns"],
        inside: "",
        but_not: &["netns"],
    },
];

const MARKS: [(&str, &str); 7] = [
    (concat!("TO", "DO"), "finish it or open an issue"),
    (concat!("FIX", "ME"), "fix it or open an issue"),
    (concat!("XX", "X"), "finish it or open an issue"),
    (concat!("unimplemented", "!"), "finish it"),
    (concat!("to", "do!"), "finish it"),
    (concat!("#[ign", "ore"), "a test that does not run is no test"),
    (concat!("thread::", "sleep"), "wait for the condition itself"),
];
const MACHINE_PATHS: [&str; 2] = [concat!("/ho", "me/"), concat!("/ro", "ot/")];
const SPDX: &str = "// SPDX-License-Identifier: Apache-2.0";
const MAX_LINES: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages that `code` gets at `path`, below a good first line.
    fn messages(path: &str, code: &str) -> Vec<String> {
        let text = format!("{SPDX}\n{code}\n");
        check(&Source::new(path, &text)).into_iter().map(|finding| finding.message).collect()
    }

    fn is_clean(path: &str, code: &str) {
        assert_eq!(messages(path, code), [""; 0], "{path}: {code}");
    }

    fn is_refused(path: &str, code: &str, because: &str) {
        let messages = messages(path, code);
        assert!(messages.len() == 1 && messages[0].contains(because), "{path}: {code}: {messages:?}");
    }

    #[test]
    fn a_long_file_is_refused() {
        is_clean("a/src/a.rs", &"x\n".repeat(MAX_LINES - 2));
        is_refused("a/src/a.rs", &"x\n".repeat(MAX_LINES), "402 lines");
    }

    #[test]
    fn a_file_without_its_license_line_is_refused() {
        let findings = check(&Source::new("a/src/a.rs", "//! A file.\n"));
        assert!(findings.len() == 1 && findings[0].line == 1 && findings[0].message.contains("SPDX"));
        assert!(check(&Source::new("a/README.md", "# A\n")).is_empty());
    }

    #[test]
    fn unfinished_work_is_refused_in_code_and_comments() {
        for (mark, _) in MARKS {
            is_refused("a/src/a.rs", &format!("    // {mark}"), mark);
        }
        is_clean("a/src/a.rs", "// the mastodon sleeps");
    }

    #[test]
    fn only_kernel_names_aya() {
        is_refused("ambassador/src/net/dial.rs", "use aya::maps::MapData;", "aya");
        is_clean("ambassador/src/kernel/load.rs", "use aya::maps::MapData;");
        is_clean("ambassador/src/net/dial.rs", "// aya does this");
    }

    #[test]
    fn policy_has_no_clock_and_no_io() {
        for code in ["use tokio::time;", "let now = Instant::now();", "use std::fs;", "fn f(s: TcpStream) {}"]
        {
            is_refused("ambassador/src/policy/retry.rs", code, "pure");
            is_clean("ambassador/src/proxy/opaque.rs", code);
        }
        is_clean("ambassador/src/policy/retry.rs", "use std::net::IpAddr;\nfn f(now: Instant) {}");
        is_clean("ambassador/src/policy/retry.rs", "#[cfg(test)]\nmod tests { use std::fs; }");
    }

    #[test]
    fn only_dial_connects() {
        for code in ["TcpStream::connect(a).await", "libc::connect(fd, a, l)"] {
            is_refused("ambassador/src/upstream/pool.rs", code, "net::dial");
            is_clean("ambassador/src/net/dial.rs", code);
        }
    }

    #[test]
    fn only_netns_enters_a_namespace() {
        is_refused("ambassador/src/app.rs", "setns(&file, CloneFlags::CLONE_NEWNET)", "setns");
        is_clean("ambassador/src/netns/enter.rs", "setns(&file, CloneFlags::CLONE_NEWNET)");
    }

    #[test]
    fn a_path_of_a_machine_is_refused_in_any_text() {
        let text = format!("see {}me/file\n", MACHINE_PATHS[0]);
        assert_eq!(check(&Source::new("README.md", &text)).len(), 1);
        is_refused("a/src/a.rs", &format!("\"{}.cargo\"", MACHINE_PATHS[1]), "machine");
    }
}
