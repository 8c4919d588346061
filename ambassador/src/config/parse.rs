// SPDX-License-Identifier: Apache-2.0
//! Bytes → YAML tree.
//!
//! The only place that talks to the YAML parser: sizes and depth are bounded here, so that no file can exhaust the
//! stack or the memory of a proxy that reloads it. A mistake in the YAML itself ends the reading; a repeated key does
//! not: it is noted, and the rest is read as if only the last one stood there.

use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error as YamlError, Options};

use super::node::{Node, Place, Span, Value};
use super::problem::Problem;
use super::report::Diagnostic;

/// The largest configuration that is read.
pub(crate) const MAX_BYTES: usize = 4 << 20;

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 200_000;

/// The text of a configuration file, and where it stops to be UTF-8 if it does.
pub(crate) fn decode(bytes: Vec<u8>) -> (String, Option<Diagnostic>) {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (text, None),
        Err(error) => error,
    };
    let start = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let (line, column) = line_and_column(&text, start);
    let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
    (text, Some(Diagnostic::at(Span { start, end, line, column }, Problem::NotUtf8)))
}

/// Reads the tree; what is wrong with the YAML goes to `diagnostics`.
pub(crate) fn parse(text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    if text.len() > MAX_BYTES {
        diagnostics.push(Diagnostic::at(Span::default(), Problem::TooLarge { limit: MAX_BYTES }));
        return None;
    }
    let root = match serde_saphyr::from_str_with_options::<Node>(text, options(DuplicateKeyPolicy::Error)) {
        Ok(root) => root,
        Err(error) => {
            let repeated = matches!(error.without_snippet(), YamlError::DuplicateMappingKey { .. });
            diagnostics.push(diagnose(&error, text));
            if !repeated {
                return None;
            }
            serde_saphyr::from_str_with_options::<Node>(text, options(DuplicateKeyPolicy::LastWins)).ok()?
        }
    };
    if root.value == Value::Null {
        diagnostics.push(Diagnostic::at(Span { line: 1, column: 1, ..Span::default() }, Problem::EmptyFile));
        return None;
    }
    Some(root)
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH, max_nodes: MAX_NODES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

fn diagnose(error: &YamlError, text: &str) -> Diagnostic {
    let error = error.without_snippet();
    let tab = error.to_string().contains("tab").then(|| tab_indent(text)).flatten();
    let location = error.location().filter(|_| tab.is_none());
    let span = tab.or_else(|| {
        location.map(|location| {
            // The scanner's errors carry no byte offsets: find the byte by line and column.
            let mut span = Span::of(location);
            span.start = byte_offset(text, span.line, span.column);
            span.end = span.start + text[span.start..].chars().next().map_or(0, char::len_utf8);
            span
        })
    });
    let span = span.unwrap_or(Span { line: 1, column: 1, ..Span::default() });
    let problem = match error {
        YamlError::DuplicateMappingKey { key, .. } => {
            Problem::DuplicateKey { key: key.clone().unwrap_or_default() }
        }
        YamlError::MultipleDocuments { .. } => Problem::SeveralDocuments,
        YamlError::UnknownAnchor { .. } => Problem::Alias { reason: "there is no such anchor above it" },
        YamlError::RecursiveReferencesRequireWeakTypes { .. } => {
            Problem::Alias { reason: "its anchor contains the alias itself" }
        }
        other => Problem::Syntax { message: without_location(&other.to_string()) },
    };
    Diagnostic { place: Place::File(span), problem }
}

/// The first tab that indents: the scanner blames the value before it.
fn tab_indent(text: &str) -> Option<Span> {
    let mut start = 0;
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let column = content.bytes().position(|byte| byte != b' ')?;
        if content.as_bytes()[column] == b'\t' {
            let at = start + column;
            return Some(Span { line, column: u32::try_from(column + 1).ok()?, start: at, end: at + 1 });
        }
        start += content.len();
    }
    None
}

/// The parser's own message without the place, which the snippet shows.
fn without_location(message: &str) -> String {
    first_line(message.split(" at line ").next().unwrap_or(message))
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// The byte at a line and column (both from 1, column in characters), or the end of the text.
fn byte_offset(text: &str, line: u32, column: u32) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(newline) => start += newline + 1,
            None => return text.len(),
        }
    }
    let characters = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    text[start..].char_indices().nth(characters).map_or(text.len(), |(offset, _)| start + offset)
}

fn line_and_column(text: &str, byte: usize) -> (u32, u32) {
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
