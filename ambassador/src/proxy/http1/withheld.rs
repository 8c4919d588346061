// SPDX-License-Identifier: Apache-2.0
//! Requests that offer to go on in a protocol whose requests nobody here would read: h2c, TLS.
//!
//! Once the origin agrees, the connection is bytes, and no rule that selects by what requests say meets another one. A
//! server may always ignore such an offer (RFC 9110 §7.8), so where there are such rules it never hears of it, and the
//! program is answered in HTTP/1. Other protocols (WebSocket) carry no requests, and are never withheld.

use crate::http1::head::{HeadError, RequestHead};

/// The same request without offers of protocols in which requests go on; `None` if it makes none.
pub(super) fn without_offers(head: &RequestHead) -> Result<Option<RequestHead>, HeadError> {
    if head.header("upgrade").is_none() {
        return Ok(None);
    }
    let lines = || head.raw().split_inclusive(|byte| *byte == b'\n');
    let offers = |line| field(line, "upgrade").into_iter().flat_map(tokens);
    if !lines().flat_map(offers).any(carries_requests) {
        return Ok(None);
    }
    let goes_on = lines().flat_map(offers).any(|offer| !carries_requests(offer));
    let mut rest = Vec::with_capacity(head.raw().len());
    for line in lines() {
        if field(line, "upgrade").is_some() {
            keep(&mut rest, line, |offer| !carries_requests(offer));
        } else if field(line, "connection").is_some() {
            keep(&mut rest, line, |option| {
                let upgrade = option.eq_ignore_ascii_case(b"upgrade");
                !option.eq_ignore_ascii_case(SETTINGS.as_bytes()) && (goes_on || !upgrade)
            });
        } else if field(line, SETTINGS).is_none() {
            rest.extend_from_slice(line);
        }
    }
    let rest = RequestHead::parse(&rest)?;
    rest.map(Some).ok_or(HeadError::Malformed("the offer of another protocol cannot be withheld"))
}

/// The value of a header line called `name`.
fn field<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let (own, rest) = line.split_at_checked(name.len())?;
    own.eq_ignore_ascii_case(name.as_bytes()).then(|| rest.strip_prefix(b":")).flatten()
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// `h2c` (RFC 7540 §3.2) and its drafts, other versions of HTTP, and TLS (RFC 2817).
fn carries_requests(offer: &[u8]) -> bool {
    let begins =
        |with: &str| offer.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    ["h2", "h3", "http/", "tls/"].into_iter().any(begins)
}

/// Adds the line to `rest` with those of its tokens that `stays` keeps; as it is if these are all, not at all if none.
fn keep(rest: &mut Vec<u8>, line: &[u8], stays: impl Fn(&[u8]) -> bool) {
    let colon = line.iter().position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
    let (name, value) = line.split_at(colon);
    if tokens(value).all(&stays) {
        rest.extend_from_slice(line);
        return;
    }
    let kept: Vec<&[u8]> = tokens(value).filter(|token| stays(token)).collect();
    if !kept.is_empty() {
        rest.extend_from_slice(name);
        rest.push(b' ');
        rest.extend_from_slice(&kept.join(&b", "[..]));
        rest.extend_from_slice(if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
    }
}

const SETTINGS: &str = "http2-settings";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str, want: Option<&str>) {
        let request = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\nX: h2c\r\n\r\n");
        let head = RequestHead::parse(request(lines).as_bytes()).expect("well-formed").expect("whole");
        let rest = without_offers(&head).expect("well-formed");
        let rest = rest.map(|rest| rest.raw().to_vec());
        let want = want.map(|want| request(want).replace("a\r\n\r\n", "a\r\n").into_bytes());
        assert_eq!(rest, want, "{lines}");
    }

    #[test]
    fn what_carries_requests_is_withheld_and_nothing_else() {
        let settings = "HTTP2-Settings: AAMAAABk";
        for (lines, want) in [
            (format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"), Some("")),
            (format!("Upgrade: h2c\r\n{settings}\r\nA: 1"), Some("A: 1")),
            ("upgrade:H2C-14\r\nA: 1".into(), Some("A: 1")),
            (
                "Upgrade: HTTP/2.0, TLS/1.0\r\nConnection:keep-alive,upgrade".into(),
                Some("Connection: keep-alive"),
            ),
            (
                "Upgrade: h2c\r\nconnection: Upgrade\r\nUPGRADE: websocket".into(),
                Some("connection: Upgrade\r\nUPGRADE: websocket"),
            ),
            (
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c".into(),
                Some("Connection: Upgrade\r\nUpgrade: websocket"),
            ),
            ("Connection: Upgrade\r\nUpgrade: websocket".into(), None),
            ("Connection: Upgrade\r\nUpgrade: ".into(), None),
            ("X-Upgrade: h2c".into(), None),
        ] {
            check(&lines, want);
        }
    }
}
