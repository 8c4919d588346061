// SPDX-License-Identifier: Apache-2.0
//! HTTP/1 heads of both sides, and chunked bodies.

use ambassador::http1::{
    chunked::Chunked,
    head::{RequestHead, ResponseHead},
};

/// The first byte says where the rest is cut in two: what is read in two pieces is what is read at once.
pub fn check(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    request(bytes, cut);
    response(bytes, cut);
    chunked(bytes, cut);
}

fn request(bytes: &[u8], cut: usize) {
    let whole = RequestHead::parse(bytes);
    let Ok(Some(head)) = &whole else { return };
    assert!(bytes.starts_with(head.raw()));
    assert!(!head.method().is_empty() && head.method().is_ascii());
    let _ = (head.target(), head.path(), head.authority(), head.header("host"));
    let _ = (head.framing(), head.persists(), head.is_upgrade(), head.is_unshared());
    assert_eq!(
        RequestHead::parse(head.raw()).ok().flatten().map(|own| own.raw().len()),
        Some(head.raw().len())
    );
    if cut < head.raw().len() {
        assert!(matches!(RequestHead::parse(&bytes[..cut]), Ok(None)), "the first {cut} bytes");
    }
}

fn response(bytes: &[u8], cut: usize) {
    for method in ["GET", "HEAD", "CONNECT"] {
        let Ok(Some(head)) = ResponseHead::parse(bytes, method) else { continue };
        assert!(bytes.starts_with(head.raw()));
        assert_eq!(ResponseHead::status_of(bytes), Some(head.status()));
        let _ = (head.header("date"), head.framing(), head.keep_alive_timeout(), head.is_unshared());
        if cut < head.raw().len() {
            assert!(matches!(ResponseHead::parse(&bytes[..cut], method), Ok(None)), "the first {cut} bytes");
        }
    }
}

fn chunked(bytes: &[u8], cut: usize) {
    let mut whole = Chunked::default();
    let at_once = whole.advance(bytes).map(|taken| (taken, whole.is_done()));
    let mut parts = Chunked::default();
    let in_two = parts.advance(&bytes[..cut]).and_then(|first| {
        let second = parts.advance(&bytes[cut..])?;
        Ok((first + second, parts.is_done()))
    });
    assert_eq!(at_once, in_two, "cut at {cut}");
    assert!(at_once.is_err() || at_once.is_ok_and(|(taken, done)| done || taken == bytes.len()));
}
