// SPDX-License-Identifier: Apache-2.0
//! The wait that a failed reply asks for before it is asked again: `Retry-After`, or gRPC's pushback.
//!
//! The headers are an upstream's claim. A `Retry-After` that is malformed counts as absent (RFC 9110 says nothing else);
//! a pushback that is malformed forbids to retry, as gRFC A6 says.

use std::time::Duration;

/// What a reply asks of the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// Nothing.
    None,
    /// To wait at least as long (`Retry-After`).
    AtLeast(Duration),
    /// To wait that long, in place of a backoff (`grpc-retry-pushback-ms`).
    Exactly(Duration),
    /// That there is none (`grpc-retry-pushback-ms`).
    Never,
}

impl Pushback {
    /// Reads `grpc-retry-pushback-ms` (gRFC A6): milliseconds; a negative number and whatever else is no number ask not
    /// to retry. A number too large to count asks for [`Duration::MAX`].
    pub fn grpc(value: &[u8]) -> Self {
        let digits = std::str::from_utf8(value).unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Never;
        }
        Self::Exactly(digits.parse().map_or(Duration::MAX, Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_milliseconds_allow_a_retry() {
        let exactly = |millis| Pushback::Exactly(Duration::from_millis(millis));
        for (value, want) in [
            ("0", exactly(0)),
            ("250", exactly(250)),
            ("007", exactly(7)),
            ("18446744073709551616", Pushback::Exactly(Duration::MAX)),
            ("-1", Pushback::Never),
            ("-0", Pushback::Never),
            ("+5", Pushback::Never),
            ("1.5", Pushback::Never),
            ("1s", Pushback::Never),
            (" 1", Pushback::Never),
            ("", Pushback::Never),
            ("\u{663}", Pushback::Never),
        ] {
            assert_eq!(Pushback::grpc(value.as_bytes()), want, "{value:?}");
        }
        assert_eq!(Pushback::grpc(b"1\xff"), Pushback::Never);
    }
}
