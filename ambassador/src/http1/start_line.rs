// SPDX-License-Identifier: Apache-2.0
//! The first line of an HTTP/1 message (RFC 9112 §3, §4).
//!
//! Methods, targets and reason phrases may be odd, as long as every parser finds the same ends of them.

use super::{
    framing::Version,
    head::{HeadError, Span},
};

/// The parts of a request line.
pub(super) struct RequestLine {
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) version: Version,
    /// Where the header lines begin.
    pub(super) end: usize,
}

/// Parses a request line; `None` when its end has not arrived. Empty lines may stand before a request line (RFC 9112
/// §2.2); they stay part of the head.
pub(super) fn request_line(bytes: &[u8]) -> Result<Option<RequestLine>, HeadError> {
    let start = bytes.chunks(2).take(EMPTY_LINES_MAX).take_while(|pair| *pair == b"\r\n").count() * 2;
    let end_of = |from: usize, stop: fn(u8) -> bool| {
        bytes[from..].iter().take(LINE_MAX).position(|byte| stop(*byte)).map(|at| from + at)
    };
    let Some(method_end) = end_of(start, |byte| !is_token(byte)) else { return Ok(None) };
    // Half of one more empty line.
    if &bytes[start..] == b"\r" && start < 2 * EMPTY_LINES_MAX {
        return Ok(None);
    }
    if bytes[method_end] != b' ' || method_end == start {
        return Err(HeadError::Malformed("the request line has no method"));
    }
    let target = method_end + 1;
    let Some(target_end) = end_of(target, |byte| byte <= b' ' || byte == 0x7f) else {
        return if bytes.len() - start > LINE_MAX { Err(HeadError::LineTooLong) } else { Ok(None) };
    };
    if bytes[target_end] != b' ' || target_end == target {
        return Err(HeadError::Malformed("the request line has no target or no version"));
    }
    if target_end - start > LINE_MAX {
        return Err(HeadError::LineTooLong);
    }
    let Some((version, at)) = version(bytes, target_end + 1)? else { return Ok(None) };
    let Some(end) = line_end(bytes, at)? else { return Ok(None) };
    let method = Span { start, end: method_end };
    Ok(Some(RequestLine { method, target: Span { start: target, end: target_end }, version, end }))
}

/// Parses a status line into version, status, and where the header lines begin; `None` when its end has not arrived.
/// The reason phrase may be empty, and so may the space before it, as many origins write it.
pub(super) fn status_line(bytes: &[u8]) -> Result<Option<(Version, u16, usize)>, HeadError> {
    const BAD: HeadError = HeadError::Malformed("the status line is not one");
    let Some((version, at)) = version(bytes, 0)? else { return Ok(None) };
    let Some(code) = bytes.get(at..at + 4) else { return Ok(None) };
    let &[b' ', hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = code else {
        return Err(BAD);
    };
    let status = [hundreds, tens, ones].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let reason = &bytes[at + 4..];
    let Some(length) = reason.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) else {
        return Ok(None);
    };
    if length > 0 && reason[0] != b' ' {
        return Err(BAD);
    }
    Ok(line_end(bytes, at + 4 + length)?.map(|end| (version, status, end)))
}

fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, HeadError> {
    let rest = &bytes[at..];
    match rest.get(..8) {
        Some(b"HTTP/1.1") => Ok(Some((Version::Http11, at + 8))),
        Some(b"HTTP/1.0") => Ok(Some((Version::Http10, at + 8))),
        None if b"HTTP/1.".starts_with(&rest[..rest.len().min(7)]) => Ok(None),
        _ => Err(HeadError::Malformed("the version is not HTTP/1.0 or HTTP/1.1")),
    }
}

fn line_end(bytes: &[u8], at: usize) -> Result<Option<usize>, HeadError> {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => Ok(Some(at + 2)),
        Some([b'\n', ..]) => Ok(Some(at + 1)),
        None | Some([] | [b'\r']) => Ok(None),
        Some(_) => Err(HeadError::Malformed("the first line does not end after the version")),
    }
}

/// May stand in a method (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// The longest request line.
pub(super) const LINE_MAX: usize = 8 * 1024;
/// The most empty lines before a request line.
pub(super) const EMPTY_LINES_MAX: usize = 4;
