// SPDX-License-Identifier: Apache-2.0
//! The bytes of a request's head, which are nearly always text.
//!
//! Method, host and path are asked for as text several times per request; whether they are text is found out once.

use super::{Span, lines::text};

/// The bytes of a head.
#[derive(Clone, Debug)]
pub(super) enum WireText {
    /// All of them are UTF-8.
    Text(Box<str>),
    /// Some are not.
    Bytes(Box<[u8]>),
}

impl WireText {
    pub(super) fn new(bytes: &[u8]) -> Self {
        std::str::from_utf8(bytes).map_or_else(|_| Self::Bytes(bytes.into()), |text| Self::Text(text.into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The part that stands at `span`, up to its first byte that is not UTF-8.
    pub(super) fn text(&self, span: Span) -> &str {
        match self {
            Self::Text(text) => text.get(span.start..span.end).unwrap_or_default(),
            Self::Bytes(bytes) => text(span.of(bytes)),
        }
    }
}
