// SPDX-License-Identifier: Apache-2.0
//! The lines of a head as bytes: where they end, which of them has a name, and whether all ends are proper ones.
//!
//! It only looks: what a line means is said elsewhere.

use memchr::memchr;

use super::HeadError;
use crate::http1::start_line::{EMPTY_LINES_MAX, LINE_MAX};

/// Visits the header lines from `at` on and returns where the head ends.
pub(super) fn header_lines<'b>(
    bytes: &'b [u8],
    at: usize,
    mut visit: impl FnMut(&'b str, &'b [u8]) -> Result<(), &'static str>,
) -> Result<Option<usize>, HeadError> {
    let mut few = [httparse::EMPTY_HEADER; FEW_LINES];
    let mut many;
    let parsed = match httparse::parse_headers(&bytes[at..], &mut few) {
        Err(httparse::Error::TooManyHeaders) => {
            many = [httparse::EMPTY_HEADER; LINES_MAX];
            httparse::parse_headers(&bytes[at..], &mut many)
        }
        parsed => parsed,
    };
    match parsed {
        Ok(httparse::Status::Complete((length, _))) if at + length > HEAD_MAX => Err(HeadError::TooLarge),
        Ok(httparse::Status::Complete((length, headers))) => {
            for header in headers {
                visit(header.name, header.value).map_err(HeadError::Malformed)?;
            }
            Ok(Some(at + length))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooLarge),
        Err(httparse::Error::HeaderName) => Err(HeadError::Malformed("a header line has no proper name")),
        Err(httparse::Error::HeaderValue) => Err(HeadError::Malformed("a header value has a control byte")),
        Err(_) => Err(HeadError::Malformed("a header line does not end in CR LF")),
    }
}

/// A head whose end has not arrived yet is refused once it is too long to become a good one.
pub(super) fn partial<T>(bytes: &[u8], line_too_long: HeadError) -> Result<Option<T>, HeadError> {
    let first_line = bytes.iter().take(LINE_MAX + 1).skip(2 * EMPTY_LINES_MAX).any(|byte| *byte == b'\n');
    if bytes.len() > LINE_MAX && !first_line {
        return Err(line_too_long);
    }
    if bytes.len() > HEAD_MAX { Err(HeadError::TooLarge) } else { Ok(None) }
}

/// httparse takes LF for CR LF; it guarantees that no CR stands alone, so that counting finds it.
pub(super) fn has_bare_lf(head: &[u8]) -> bool {
    let weigh = |byte: &u8| i8::from(*byte == b'\n') - i8::from(*byte == b'\r');
    // Pieces whose sum fits a byte, so that many bytes are weighed at a time.
    let pieces = head.chunks(WEIGHED_AT_A_TIME).map(|piece| piece.iter().map(weigh).sum::<i8>());
    pieces.map(i32::from).sum::<i32>() != 0
}

/// Finds a header line in a head that has already been parsed once.
pub(super) fn header<'h>(raw: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let mut line = memchr(b'\n', raw)? + 1;
    while let Some(length) = memchr(b'\n', &raw[line..]) {
        let value = line + name.len() + 1;
        if raw.get(value - 1) == Some(&b':') && raw[line..value - 1].eq_ignore_ascii_case(name.as_bytes()) {
            return Some(raw.get(value..line + length)?.trim_ascii());
        }
        line += length + 1;
    }
    None
}

/// The longest prefix of `bytes` that is UTF-8.
pub(super) fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// At most `i8::MAX`, and a multiple of what a register holds.
const WEIGHED_AT_A_TIME: usize = 96;
/// The longest head.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// The most header lines.
pub(super) const LINES_MAX: usize = 128;
/// Room for nearly every head, which costs little to prepare.
const FEW_LINES: usize = 32;
