// SPDX-License-Identifier: Apache-2.0
//! A file as the rules see it: its path, its lines, and its code without comments and unit tests.

use std::path::Path;

/// A text file below the workspace.
pub(super) struct Source<'a> {
    /// Relative to the workspace, with `/`.
    pub(super) path: &'a str,
    /// Everything.
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text }
    }

    pub(super) fn is_rust(&self) -> bool {
        Path::new(self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Every line with its number from 1 on.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines of the program itself: without comments, and without the unit tests, which end a file.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let tests = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        self.lines()
            .take_while(move |(_, line)| !tests && !line.trim_start().starts_with("#[cfg(test)]"))
            .map(|(number, line)| (number, without_comment(line)))
    }
}

/// Whether `text` contains `word` with no letter, digit or `_` on either side of it.
pub(super) fn contains_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        let grows_left = word.starts_with(is_part) && before.is_some_and(is_part);
        let grows_right = word.ends_with(is_part) && after.is_some_and(is_part);
        !grows_left && !grows_right
    })
}

/// A `//` inside a string hides the rest of its line from the rules: they look for code that is not inside strings.
fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_ends_at_other_characters() {
        assert!(contains_word("use aya::maps;", "aya"));
        assert!(!contains_word("use ayah;", "aya"));
        assert!(!contains_word("use my_aya;", "aya"));
        assert!(contains_word("x.connect(y)", ".connect("));
    }

    #[test]
    fn code_has_neither_comments_nor_unit_tests() {
        let text = "use a; // use b\n#[cfg(test)]\nmod tests { use c; }\n";
        let code: Vec<_> = Source::new("a/src/x.rs", text).code().collect();
        assert_eq!(code, [(1, "use a; ")]);
        assert_eq!(Source::new("a/src/x/tests.rs", "use c;").code().count(), 0);
    }
}
