// SPDX-License-Identifier: Apache-2.0
//! Durations (`10s`, `250ms`, `1m30s`) and sizes (`64KiB`) as people write them.
//!
//! Every duration carries its unit: a bare `10` is refused, since half of the world's tools read it as seconds and the
//! other half as milliseconds.

use std::fmt::Write as _;
use std::time::Duration;

/// Longer than this is taken for a slip of the unit (a year).
pub const LONGEST: Duration = Duration::from_hours(365 * 24);

/// The pattern of a duration, for the JSON Schema.
pub(crate) const DURATION_PATTERN: &str = "^([0-9]+(\\.[0-9]+)?(h|m|s|ms|us))+$";

/// The pattern of a size, for the JSON Schema.
pub(crate) const SIZE_PATTERN: &str = "^[0-9]+(B|KiB|MiB|GiB|kB|KB|MB|GB)$";

/// Why a duration or a size could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum UnitError {
    /// Nothing there.
    Empty,
    /// A number was expected.
    Number,
    /// A number without unit.
    NoUnit,
    /// A unit that does not exist.
    Unit,
    /// More than can be meant.
    TooLarge,
}

impl UnitError {
    /// The reason in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::Number => "a number must come first",
            Self::NoUnit => "the unit is missing",
            Self::Unit => "the unit is unknown",
            Self::TooLarge => "it is too large",
        }
    }
}

/// Reads `1h`, `1m30s`, `250ms`, `0.5s`, `100us`; finer than a microsecond is cut off.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    let mut micros = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit());
        let decimal = Decimal::parse(number)?;
        let unit = match unit {
            "h" => 3_600_000_000,
            "m" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1000,
            "us" | "µs" => 1,
            "" => return Err(UnitError::NoUnit),
            _ => return Err(UnitError::Unit),
        };
        micros = decimal.times(unit).and_then(|part| micros.checked_add(part)).ok_or(UnitError::TooLarge)?;
        rest = after;
    }
    Some(Duration::from_micros(micros)).filter(|duration| *duration <= LONGEST).ok_or(UnitError::TooLarge)
}

/// Reads `64KiB`, `1MiB`, `500kB`, `10B`; binary units are powers of 1024.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    let (number, unit) = split_while(text, |c| c.is_ascii_digit());
    if number.is_empty() {
        return Err(UnitError::Number);
    }
    let factor: u64 = match unit.trim_start() {
        "" => return Err(UnitError::NoUnit),
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(UnitError::Unit),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or(UnitError::TooLarge)
}

/// The shortest way to write a duration that reads back as the same.
pub fn format_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let seconds = duration.as_secs();
    let parts = [
        (u128::from(seconds / 3600), "h"),
        (u128::from(seconds / 60 % 60), "m"),
        (u128::from(seconds % 60), "s"),
        (u128::from(duration.subsec_millis()), "ms"),
        (u128::from(duration.subsec_micros() % 1000), "us"),
    ];
    for (amount, unit) in parts {
        if amount > 0 {
            write!(text, "{amount}{unit}").unwrap_or_default();
        }
    }
    text
}

/// The shortest way to write a size.
pub fn format_size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// `12.5`: digits, and perhaps a point and six more that count.
struct Decimal {
    whole: u64,
    millionths: u64,
}

impl Decimal {
    fn parse(text: &str) -> Result<Self, UnitError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(UnitError::Number);
        }
        let six_digits = format!("{fraction:0<6.6}");
        let millionths = six_digits.parse().map_err(|_| UnitError::Number)?;
        Ok(Self { whole: whole.parse().map_err(|_| UnitError::TooLarge)?, millionths })
    }

    fn times(&self, unit: u64) -> Option<u64> {
        self.whole.checked_mul(unit)?.checked_add(self.millionths.checked_mul(unit)? / 1_000_000)
    }
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        for (text, want) in [
            ("10s", Ok(Duration::from_secs(10))),
            ("250ms", Ok(Duration::from_millis(250))),
            ("1m30s", Ok(Duration::from_secs(90))),
            ("0.5s", Ok(Duration::from_millis(500))),
            ("1h", Ok(Duration::from_hours(1))),
            ("0s", Ok(Duration::ZERO)),
            ("100us", Ok(Duration::from_micros(100))),
            ("", Err(UnitError::Empty)),
            ("10", Err(UnitError::NoUnit)),
            ("s", Err(UnitError::Number)),
            ("-1s", Err(UnitError::Number)),
            ("1..2s", Err(UnitError::Number)),
            ("10 s", Err(UnitError::Unit)),
            ("3d", Err(UnitError::Unit)),
            ("inf", Err(UnitError::Number)),
            ("9999999h", Err(UnitError::TooLarge)),
            (&format!("{}s", "9".repeat(400)), Err(UnitError::TooLarge)),
        ] {
            assert_eq!(parse_duration(text), want, "{text}");
        }
    }

    #[test]
    fn sizes_carry_their_unit() {
        for (text, want) in [
            ("64KiB", Ok(65_536)),
            ("1MiB", Ok(1 << 20)),
            ("2kB", Ok(2000)),
            ("64", Err(UnitError::NoUnit)),
            ("KiB", Err(UnitError::Number)),
            ("1XB", Err(UnitError::Unit)),
            ("99999999999999999999B", Err(UnitError::TooLarge)),
        ] {
            assert_eq!(parse_size(text), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_formatted_duration_reads_back(micros in 0_u64..30_000_000_000_000) {
            let duration = Duration::from_micros(micros);
            let read = parse_duration(&format_duration(duration)).unwrap();
            proptest::prop_assert_eq!(read, duration);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC*") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
