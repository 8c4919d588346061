// SPDX-License-Identifier: Apache-2.0
//! What the first bytes of a flow say of its protocol.
//!
//! Pure, because it reads what anybody may send. More bytes never change what has been decided.

use crate::policy::matcher::Protocol;

/// What a prefix of a flow says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// It can only be this.
    Protocol(Protocol),
    /// It may become HTTP.
    Undecided,
}

/// Looks at the first bytes that a program sent. Pure; total for any input.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    use Sniffed::{Protocol as Is, Undecided};
    match bytes {
        [] | [0x16] => return Undecided,
        // A TLS record of type handshake, version 3.x (RFC 8446 §5.1).
        [0x16, 3, ..] => return Is(Protocol::Tls),
        _ => {}
    }
    if let Some(frame) = bytes.strip_prefix(HTTP2_PREFACE) {
        // Without SETTINGS it is what a server of HTTP/1 is asked whether it speaks HTTP/2.
        return match frame {
            [_, _, _, 4, 0, 0, 0, 0, 0, ..] => Is(Protocol::Http2),
            _ if frame.len() < 9 => Undecided,
            _ => Is(Protocol::Opaque),
        };
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Undecided;
    }
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_request_line(&bytes[..end]) => Is(Protocol::Http1),
        None if may_become_request_line(bytes) => Undecided,
        _ => Is(Protocol::Opaque),
    }
}

/// RFC 9113 §3.4; a SETTINGS frame follows in the same flight.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods whose first bytes are worth waiting for the rest of the line (RFC 9110 §9.3, RFC 5789, RFC 4918).
const METHODS: [&[u8]; 16] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"TRACE ",
    b"CONNECT ",
    b"PATCH ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"REPORT ",
];

/// `method SP target SP HTTP/1.x [CR]`, whatever the method's name (RFC 9112 §3).
fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(rest) = line.len().checked_sub(9).map(|at| &line[at..]) else { return false };
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    rest.starts_with(b" HTTP/1.") && rest[8].is_ascii_digit() && method > 0 && line.get(method) == Some(&b' ')
}

fn may_become_request_line(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        let common = method.len().min(bytes.len());
        method[..common] == bytes[..common]
    }) && bytes.iter().all(|byte| *byte >= b' ' || *byte == b'\r')
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The head of a SETTINGS frame with at most 42 of them.
pub(super) fn is_settings(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, length, 4, 0, 0, 0, 0, 0] if length % 6 == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        use Sniffed::{Protocol as Is, Undecided};
        for (bytes, want) in [
            (&b""[..], Undecided),
            (b"GET / HTTP/1.1\r\n", Is(Protocol::Http1)),
            (b"GET / HTTP/1.0\n", Is(Protocol::Http1)),
            (b"FROBNICATE /x HTTP/1.1\r\nHost: a\r\n", Is(Protocol::Http1)),
            (b"PO", Undecided),
            (b"POST /a/very/long", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Is(Protocol::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand so on", Is(Protocol::Opaque)),
            (b"PRI * HT", Undecided),
            (b"\x16\x03\x01\x02\x00\x01", Is(Protocol::Tls)),
            (b"\x16", Undecided),
            (b"*1\r\n$4\r\nPING\r\n", Is(Protocol::Opaque)),
            (b"PING\r\n", Is(Protocol::Opaque)),
            (b"PING", Is(Protocol::Opaque)),
            (b"get key\r\n", Is(Protocol::Opaque)),
            (b"GET key\r\n", Is(Protocol::Opaque)),
            (b"GET /\r\n", Is(Protocol::Opaque)),
            (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Is(Protocol::Opaque)),
            (b"GET \x00", Is(Protocol::Opaque)),
            (b" HTTP/1.1\r\n", Is(Protocol::Opaque)),
            (b"\x16\x04\x01\x02\x00\x01", Is(Protocol::Opaque)),
            (b"GET / HTTP/1.1\r", Undecided),
            (b"GET / HTTP/2.0\r\n", Is(Protocol::Opaque)),
            (b"GET / HTTP/1.x\r\n", Is(Protocol::Opaque)),
            (b"GET /index?page=8\r\n", Is(Protocol::Opaque)),
            (b"GET/a HTTP/1.1\r\n", Is(Protocol::Opaque)),
            (b"G\xc3T / HTTP/1.1\r\n", Is(Protocol::Opaque)),
        ] {
            assert_eq!(sniff(bytes), want, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn settings_are_told_from_other_greetings() {
        for settings in [&b"\0\0\x00\x04\0\0\0\0\0"[..], b"\0\0\x12\x04\0\0\0\0\0"] {
            assert!(is_settings(settings));
        }
        for other in [
            &b"220 mail"[..],
            b"",
            b"\0\0\x12\x04\0\0\0\0",
            b"\0\0\x12\x04\x01\0\0\0\0",
            b"\0\0\x05\x04\0\0\0\0\0",
        ] {
            assert!(!is_settings(other), "{}", other.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_decision_never_changes_with_more_bytes(bytes: Vec<u8>, more: Vec<u8>, known in 0..METHODS.len()) {
            for first in [bytes.clone(), [METHODS[known], &bytes].concat()] {
                if let Sniffed::Protocol(protocol) = sniff(&first) {
                    prop_assert_eq!(sniff(&[first, more.clone()].concat()), Sniffed::Protocol(protocol));
                }
            }
        }
    }
}
