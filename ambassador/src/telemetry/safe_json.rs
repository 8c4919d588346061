// SPDX-License-Identifier: Apache-2.0
//! JSON that is safe to show: compact, and without a character that a terminal obeys.
//!
//! JSON itself only escapes the controls of ASCII. Names out of traffic may hold others (DEL, C1, bidirectional), and
//! what ambassador prints for machines is often read by people.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use super::access_log::is_unsafe;

/// `value` as one line without a newline; `capacity` is how many bytes are expected.
pub(crate) fn to_string(value: &impl Serialize, capacity: usize) -> serde_json::Result<String> {
    let mut bytes = Vec::with_capacity(capacity);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, TerminalSafe))?;
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_unsafe(*character)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &rest[at + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}
