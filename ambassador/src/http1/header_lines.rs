// SPDX-License-Identifier: Apache-2.0
//! [`Lines`]: what the header lines of a message say of its framing and its connection (RFC 9112 §6.3, §9).
//!
//! Two parsers that read the same head differently are how a request is smuggled past a proxy, so every ambiguity is
//! an error here: it must never be resolved by a guess.

use super::{
    framing::{Framing, Version},
    names::Names,
};

/// What the header lines of one message say of its framing and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    length: Option<u64>,
    coding: Option<Coding>,
    marks: Marks,
    names: Names,
    /// `Keep-Alive: timeout=`, in seconds.
    pub(super) keep_alive_timeout: Option<u32>,
}

/// What was seen among the lines: one bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u8);

impl Marks {
    /// `Connection: close`
    const CLOSE: u8 = 1;
    /// `Connection: keep-alive`
    const KEEP_ALIVE: u8 = 2;
    /// `Connection: upgrade`
    const CONNECTION_UPGRADE: u8 = 4;
    /// An `Upgrade` line.
    const UPGRADE: u8 = 8;
    /// Something that belongs to the connection, or framing that is clear but so rare that others may read it otherwise.
    const UNSHARED: u8 = 16;
    /// Credentials or a challenge that belong to the connection (NTLM, Negotiate).
    const BOUND: u8 = 32;

    fn set(&mut self, mark: u8) {
        self.0 |= mark;
    }

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

impl Lines {
    /// Takes one header line; the error says what is wrong with it.
    pub(super) fn take(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        self.names.add(name);
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case("content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.transfer_encoding(value)?,
            7 if name.eq_ignore_ascii_case("upgrade") => self.marks.set(Marks::UPGRADE),
            10 if name.eq_ignore_ascii_case("keep-alive") => self.keep_alive_timeout = timeout_of(value),
            13 if name.eq_ignore_ascii_case("authorization") => self.authentication(value),
            16 if name.eq_ignore_ascii_case("www-authenticate") => self.authentication(value),
            18 if name.eq_ignore_ascii_case("proxy-authenticate") => self.authentication(value),
            19 if name.eq_ignore_ascii_case("proxy-authorization") => self.authentication(value),
            _ => {}
        }
        Ok(())
    }

    /// There may be a line called `name`; if not, there is none.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.names.may_have(name)
    }

    /// The message asks to change the protocol of its connection.
    pub(super) fn is_upgrade(&self) -> bool {
        self.marks.has(Marks::UPGRADE) && self.marks.has(Marks::CONNECTION_UPGRADE)
    }

    /// The sender of a message of `version` keeps the connection open after it (RFC 9112 §9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.marks.has(Marks::CLOSE),
            Version::Http10 => self.says_keep_alive() && !self.marks.has(Marks::CLOSE),
        }
    }

    /// The framing of a request.
    pub(super) fn of_request(&self, version: Version) -> Result<Framing, &'static str> {
        match (self.coding, self.length) {
            (Some(_), _) if version == Version::Http10 => Err("Transfer-Encoding in HTTP/1.0"),
            (Some(_), Some(_)) => Err("both Transfer-Encoding and Content-Length"),
            (Some(Coding::Other), None) => Err("Transfer-Encoding does not end in chunked"),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (None, Some(0) | None) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
        }
    }

    /// The framing of a reply with `status` to a request with `method`.
    pub(super) fn of_reply(
        &self,
        version: Version,
        status: u16,
        method: &str,
    ) -> Result<Framing, &'static str> {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Framing::None);
        }
        if method == "CONNECT" && (200..300).contains(&status) {
            return Ok(Framing::None);
        }
        match (self.coding, self.length) {
            (Some(_), _) if version == Version::Http10 => Err("Transfer-Encoding in HTTP/1.0"),
            (Some(_), Some(_)) => Err("both Transfer-Encoding and Content-Length"),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Other) | None, None) => Ok(Framing::UntilClose),
            (None, Some(0)) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
        }
    }

    /// `Connection: close`
    pub(super) fn says_close(&self) -> bool {
        self.marks.has(Marks::CLOSE)
    }

    /// `Connection: keep-alive`
    pub(super) fn says_keep_alive(&self) -> bool {
        self.marks.has(Marks::KEEP_ALIVE)
    }

    /// The connection of the message must not carry another flow's requests.
    pub(super) fn is_unshared(&self) -> bool {
        self.marks.has(Marks::UNSHARED)
    }

    /// The connection of the message authenticates its user, as long as it lasts.
    pub(super) fn is_bound(&self) -> bool {
        self.marks.has(Marks::BOUND)
    }

    /// The lines speak of a body, whether there is one or not.
    pub(super) fn announce_body(&self) -> bool {
        self.coding.is_some() || self.length.is_some_and(|length| length > 0)
    }

    /// Notes something that forbids to share the connection of the message.
    pub(super) fn set_unshared(&mut self) {
        self.marks.set(Marks::UNSHARED);
    }

    fn authentication(&mut self, value: &[u8]) {
        if is_connection_bound(value) {
            self.set_unshared();
            self.marks.set(Marks::BOUND);
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.marks.set(Marks::CLOSE);
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.marks.set(Marks::KEEP_ALIVE);
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.marks.set(Marks::CONNECTION_UPGRADE);
            }
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err("Content-Length is not a number");
        }
        let mut length = 0_u64;
        for digit in value {
            length = length
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit - b'0')))
                .ok_or("Content-Length is too large")?;
        }
        match self.length {
            Some(earlier) if earlier != length => Err("Content-Length is given twice and differs"),
            Some(_) => {
                self.set_unshared();
                Ok(())
            }
            None => {
                self.length = Some(length);
                Ok(())
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if self.coding == Some(Coding::Chunked) {
            return Err("chunked is not the last transfer coding");
        }
        // A list of one coding is the usual case; whatever differs from it is kept off shared connections.
        if self.coding.is_some() || !value.eq_ignore_ascii_case(b"chunked") {
            self.set_unshared();
        }
        for token in value.split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            if self.coding == Some(Coding::Chunked) {
                return Err("chunked is not the last transfer coding");
            }
            if token.is_empty() || !token.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
                return Err("Transfer-Encoding is not a list of codings");
            }
            let chunked = token.eq_ignore_ascii_case(b"chunked");
            self.coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
        }
        Ok(())
    }
}

/// The comma-separated tokens of a header value.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// NTLM and Negotiate authenticate the connection, not the request (RFC 4559 §6).
fn is_connection_bound(value: &[u8]) -> bool {
    tokens(value).any(|challenge| {
        let scheme = challenge.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

fn timeout_of(value: &[u8]) -> Option<u32> {
    tokens(value)
        .filter_map(|token| std::str::from_utf8(token).ok())
        .filter_map(|token| token.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
}
