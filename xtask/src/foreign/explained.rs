// SPDX-License-Identifier: Apache-2.0
//! Which tests of others may end otherwise under ambassador, and why: `explained.txt`, read.

/// Why `test` may differ, if it may.
pub(super) fn why(suite: &str, mode: &str, test: &str) -> Option<&'static str> {
    let (reason, _) = known().find(|(_, known)| known.applies(suite, mode, test))?;
    Some(reason)
}

/// A test that may differ.
struct Known {
    suite: &'static str,
    /// In which modes it may.
    when: &'static str,
    /// The end of its name.
    end: &'static str,
}

impl Known {
    fn read(line: &'static str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        Some(Self { suite: words.next()?, when: words.next()?, end: words.next()? })
    }

    fn applies(&self, suite: &str, mode: &str, test: &str) -> bool {
        let in_mode = self.when == "always" || mode.contains("--retry");
        self.suite == suite && in_mode && test.ends_with(self.end)
    }
}

/// Reasons and their tests.
fn known() -> impl Iterator<Item = (&'static str, Known)> {
    EXPLAINED.split("\n- ").skip(1).flat_map(|part| {
        let (reason, tests) = part.split_once('\n').unwrap_or((part, ""));
        tests.lines().filter_map(Known::read).map(move |known| (reason, known))
    })
}

const EXPLAINED: &str = include_str!("explained.txt");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::suites::SUITES;

    #[test]
    fn every_line_is_a_reason_or_a_test_of_a_suite() {
        let comments =
            EXPLAINED.lines().filter(|line| line.is_empty() || line.starts_with(['#', '-'])).count();
        assert_eq!(known().count(), EXPLAINED.lines().count() - comments);
        for (reason, Known { suite, when, end }) in known() {
            assert!(SUITES.iter().any(|known| known.name == suite), "{suite}");
            assert!(["always", "policy"].contains(&when) && !end.is_empty() && !reason.is_empty(), "{end}");
        }
    }

    #[test]
    fn a_test_may_differ_only_in_its_suite_and_mode() {
        let port = Some("expects the port that the client is bound to: on one host it is taken");
        assert_eq!(why("node-net", "", "parallel/test-net-localport"), port);
        assert_eq!(why("node-http", "", "parallel/test-net-localport"), None);
        assert_eq!(why("requests", "--mode off", "tests.test_chunked_encoding_error"), None);
        assert!(why("requests", "--retry 3", "tests.test_chunked_encoding_error").is_some());
    }
}
