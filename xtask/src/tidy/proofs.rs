// SPDX-License-Identifier: Apache-2.0
//! What the documentation calls proven: every test that it names as `suite::test` must be there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use super::source::{Source, contains_word};

/// The text of every end-to-end suite, by its name.
pub(super) struct Suites(BTreeMap<String, String>);

impl Suites {
    /// Reads those of a workspace: files, and directories of several files.
    pub(super) fn read(workspace: &Path) -> Result<Self> {
        let mut suites = BTreeMap::new();
        let directory = workspace.join("tests/tests");
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let files = if path.is_dir() {
                fs::read_dir(&path)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?
            } else {
                vec![path]
            };
            let mut text = String::new();
            for file in files {
                text.push_str(&fs::read_to_string(&file).with_context(|| file.display().to_string())?);
            }
            suites.insert(name, text);
        }
        Ok(Self(suites))
    }

    /// The tests that `source`, a page in Markdown, names and that are not there.
    pub(super) fn check(&self, source: &Source<'_>) -> Vec<Finding> {
        if Path::new(source.path).extension().is_none_or(|extension| extension != "md") {
            return Vec::new();
        }
        let named = source.lines().flat_map(|(number, line)| {
            line.split('`').skip(1).step_by(2).filter_map(move |word| Some((number, word.split_once("::")?)))
        });
        let missing = named.filter(|(_, (suite, test))| {
            is_plain(suite) && is_plain(test) && self.0.get(*suite).is_none_or(|text| !defines(text, test))
        });
        // Modules of the program are named in the same way.
        let is_proof = |suite: &str| self.0.contains_key(suite) || source.path.starts_with("docs/");
        missing
            .filter(|(_, (suite, _))| is_proof(suite))
            .map(|(number, (suite, test))| source.finding(number, format!("no such test: `{suite}::{test}`")))
            .collect()
    }
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn defines(suite: &str, test: &str) -> bool {
    suite.lines().any(|line| line.trim_start().starts_with("fn ") && contains_word(line, test))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let text = "#[test]\nfn it_is() -> Result<()> {".to_owned();
        let suites = Suites(BTreeMap::from([("life".to_owned(), text)]));
        let findings = |path, text| suites.check(&Source::new(path, text)).len();
        assert_eq!(findings("docs/a.md", "see `life::it_is` and `net::Dial`"), 0);
        assert_eq!(findings("docs/a.md", "see `life::it_was`, `death::it_is`, `life::it`"), 3);
        assert_eq!(findings("README.md", "see `proxy::stack` and `life::it_was`"), 1);
        assert_eq!(findings("a.rs", "see `life::it_was`"), 0);
    }
}
