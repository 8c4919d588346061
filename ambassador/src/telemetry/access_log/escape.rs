// SPDX-License-Identifier: Apache-2.0
//! Makes text out of traffic safe to show: no control byte may end a line, move a cursor or reorder what is read.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every unsafe character replaced by its escape: `\n`, `\x1b`, `\u{202e}`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            other if !is_unsafe(other) => safe.push(other),
            ascii if ascii.is_ascii() => {
                let _ = write!(safe, "\\x{:02x}", u32::from(ascii));
            }
            wide => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(wide));
            }
        }
    }
    Cow::Owned(safe)
}

/// C0 and C1 controls, DEL, line and paragraph separators, and the invisible and bidirectional formatting characters
/// (CVE-2021-42574).
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_that_drives_a_terminal_survives() {
        for (text, want) in [
            ("/plain?q=ü", "/plain?q=ü"),
            ("/a\r\nambassador  GET /forged", "/a\\r\\nambassador  GET /forged"),
            ("\u{1b}[2J", "\\x1b[2J"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\x7f"),
            ("a\u{202e}b\u{2028}c\0", "a\\u{202e}b\\u{2028}c\\x00"),
        ] {
            assert_eq!(escape(text), want);
        }
    }
}
