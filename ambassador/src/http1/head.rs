// SPDX-License-Identifier: Apache-2.0
//! The head of an HTTP/1 message: its bytes as they stood on the wire, and what was learnt from them.
//!
//! A head is parsed once; what is kept is where its parts stand, not copies of them. Header lines are looked up in
//! the bytes when somebody asks. The bytes are never changed.

mod lines;
mod wire_text;

use memchr::memrchr;
use thiserror::Error;

use self::{
    lines::{HEAD_MAX, LINES_MAX, has_bare_lf, header, header_lines, partial},
    wire_text::WireText,
};
use super::{
    framing::{Framing, Version},
    header_lines::Lines,
    start_line::{LINE_MAX, request_line, status_line},
};
use crate::message::without_user;

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// It could not be understood, or only by guessing.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request line is longer than 8 KiB.
    #[error("the request line is longer than {LINE_MAX} bytes")]
    LineTooLong,
    /// The head is longer than 64 KiB or has more than 128 header lines.
    #[error("the head is longer than {HEAD_MAX} bytes or has more than {LINES_MAX} header lines")]
    TooLarge,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    raw: WireText,
    method: Span,
    target: Span,
    /// The value of the first Host line, without a user.
    host: Option<Span>,
    version: Version,
    framing: Framing,
    lines: Lines,
}

/// The head of a reply.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    raw: Box<[u8]>,
    status: u16,
    version: Version,
    framing: Framing,
    lines: Lines,
}

/// Where a part of the head stands in its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start..self.end).unwrap_or_default()
    }

    /// The same authority without the user that it may name.
    fn without_user(self, raw: &[u8]) -> Self {
        let user = memrchr(b'@', self.of(raw));
        Self { start: user.map_or(self.start, |at| self.start + at + 1), ..self }
    }
}

impl RequestHead {
    /// Parses the head that `bytes` begin with; `None` when its end has not arrived.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let head = Self::scan(bytes)?;
        if head.is_none() { partial(bytes, HeadError::LineTooLong) } else { Ok(head) }
    }

    /// The bytes as they stood on the wire.
    pub fn raw(&self) -> &[u8] {
        self.raw.bytes()
    }

    /// The method, as it was written.
    pub fn method(&self) -> &str {
        self.raw.text(self.method)
    }

    /// The request target, up to its first byte that is not UTF-8.
    pub fn target(&self) -> &str {
        self.raw.text(self.target)
    }

    /// The value of the first `Host` line, or the authority of an absolute target (which wins: RFC 9112 §3.2.2);
    /// without the user that it may name.
    pub fn authority(&self) -> Option<&str> {
        // Nearly every target is a path: nothing but the Host line is looked at then.
        if !self.target.of(self.raw()).starts_with(b"/") {
            let target = self.target();
            if let Some((_, rest)) = target.split_once("://") {
                return Some(without_user(rest.split(['/', '?']).next().unwrap_or(rest)));
            }
            if self.is_connect() {
                return Some(without_user(target));
            }
        }
        self.host.map(|host| self.raw.text(host))
    }

    /// The path and query of the target.
    pub fn path(&self) -> &str {
        let target = self.target();
        if target.starts_with('/') {
            return target;
        }
        match target.split_once("://") {
            Some((_, rest)) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
            None if self.is_connect() => without_user(target),
            None => target,
        }
    }

    /// The value of the first header line called `name`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        if self.lines.may_have(name) { header(self.raw(), name) } else { None }
    }

    /// The version of the protocol.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the length of the body is given.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The client keeps its connection open for further requests.
    pub fn persists(&self) -> bool {
        self.lines.persists(self.version)
    }

    /// The request asks to change the protocol of its connection, or for a tunnel.
    pub fn is_upgrade(&self) -> bool {
        self.lines.is_upgrade() || self.is_connect()
    }

    /// The request asks for a tunnel.
    pub fn is_connect(&self) -> bool {
        self.method.of(self.raw()) == b"CONNECT"
    }

    /// The connection that carries it must not carry another flow's requests. Neither must one that carried a body:
    /// nobody but the origin knows whether it has read it as one, and what it answers to it otherwise may come late.
    pub fn is_unshared(&self) -> bool {
        self.lines.is_unshared() || self.framing != Framing::None
    }

    /// Its connection authenticates a user (NTLM, Negotiate), as long as it lasts.
    pub fn is_bound(&self) -> bool {
        self.lines.is_bound()
    }

    fn scan(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let Some(line) = request_line(bytes)? else { return Ok(None) };
        let mut lines = Lines::default();
        let mut host: Option<Span> = None;
        let scanned = header_lines(bytes, line.end, |name, value| {
            if name.eq_ignore_ascii_case("host") {
                match host {
                    Some(first) if first.of(bytes) != value => return Err("Host is given twice and differs"),
                    Some(_) => lines.set_unshared(),
                    None => {
                        let start = value.as_ptr() as usize - bytes.as_ptr() as usize;
                        host = Some(Span { start, end: start + value.len() });
                    }
                }
            }
            lines.take(name, value)
        })?;
        let Some(length) = scanned else { return Ok(None) };
        if has_bare_lf(&bytes[..length]) {
            lines.set_unshared();
        }
        let host = host.map(|host| host.without_user(bytes));
        let framing = lines.of_request(line.version).map_err(HeadError::Malformed)?;
        let (method, target, version) = (line.method, line.target, line.version);
        let raw = WireText::new(&bytes[..length]);
        Ok(Some(Self { raw, method, target, host, version, framing, lines }))
    }
}

impl ResponseHead {
    /// Parses the head that `bytes` begin with, a reply to a request with `method`; `None` when its end has not
    /// arrived.
    pub fn parse(bytes: &[u8], method: &str) -> Result<Option<Self>, HeadError> {
        let Some((version, status, line_end)) = status_line(bytes)? else {
            return partial(bytes, HeadError::Malformed("the status line is too long"));
        };
        let mut lines = Lines::default();
        let Some(length) = header_lines(bytes, line_end, |name, value| lines.take(name, value))? else {
            return partial(bytes, HeadError::Malformed("the status line is too long"));
        };
        if has_bare_lf(&bytes[..length]) {
            lines.set_unshared();
        }
        let framing = lines.of_reply(version, status, method).map_err(HeadError::Malformed)?;
        Ok(Some(Self { raw: bytes[..length].into(), status, version, framing, lines }))
    }

    /// The status in the status line that `bytes` begin with, if that can be read whatever follows it.
    pub fn status_of(bytes: &[u8]) -> Option<u16> {
        status_line(bytes).ok().flatten().map(|(_, status, _)| status)
    }

    /// The bytes as they stood on the wire.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first header line called `name`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        if self.lines.may_have(name) { header(&self.raw, name) } else { None }
    }

    /// How the length of the body is given.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The connection may stay open after this reply to `request`: neither side says that it closes it. In HTTP/1.0
    /// only its end tells whether the origin does; see [`Self::is_kept`].
    pub fn persists(&self, request: &RequestHead) -> bool {
        self.framing != Framing::UntilClose && !self.lines.says_close() && !request.lines.says_close()
    }

    /// Both sides say that they keep the connection after this reply to `request` (RFC 9112 §9.3). A reply to HTTP/1.0
    /// must say so itself.
    pub fn is_kept(&self, request: &RequestHead) -> bool {
        let own = self.lines.persists(self.version) && self.framing != Framing::UntilClose;
        own && request.persists() && (request.version == Version::Http11 || self.lines.says_keep_alive())
    }

    /// `Keep-Alive: timeout=`, in seconds.
    pub fn keep_alive_timeout(&self) -> Option<u32> {
        self.lines.keep_alive_timeout
    }

    /// The connection that carried it must not carry another flow's requests. Neither must one whose reply speaks of a
    /// body where none may be (to HEAD, or with 204 or 304): it may come all the same, and late.
    pub fn is_unshared(&self) -> bool {
        self.lines.is_unshared() || (self.framing == Framing::None && self.lines.announce_body())
    }

    /// Its connection authenticates a user (NTLM, Negotiate), as long as it lasts.
    pub fn is_bound(&self) -> bool {
        self.lines.is_bound()
    }
}

/// Whether `bytes`, of which the first `searched` were no whole head, may be one: parsing again costs as much as the
/// whole head, so it waits for the empty line, or for too much.
pub(crate) fn is_worth_parsing(bytes: &[u8], searched: usize) -> bool {
    let new = &bytes[searched.saturating_sub(3)..];
    searched < PARSE_EARLY
        || bytes.len() > HEAD_MAX
        || new.windows(2).any(|pair| pair == b"\n\n")
        || new.windows(3).any(|three| three == b"\n\r\n")
}

/// Below this a parse costs nothing, and finds a malformed head early.
const PARSE_EARLY: usize = 256;
