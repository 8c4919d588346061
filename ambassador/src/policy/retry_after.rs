// SPDX-License-Identifier: Apache-2.0
//! Reading `Retry-After`.
//!
//! The header is an upstream's claim: any text is accepted, and one that is malformed counts as absent.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::time::{Duration, SystemTime};

/// The wait that a `Retry-After` value asks for, seen from `now` by the wall clock (RFC 9110 §10.2.3).
///
/// Accepts delta-seconds and the three forms of HTTP-date (§5.6.7). A date that has passed asks for no wait; a number
/// too large to count asks for [`Duration::MAX`]. `None` if the value is neither.
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?.trim_ascii();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let now = Timestamp::try_from(now).ok()?;
    let date = http_date(value, i64::from(now.to_zoned(TimeZone::UTC).year()))?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`.
fn http_date(text: &str, this_year: i64) -> Option<Timestamp> {
    let mut words = [""; 6];
    for (index, word) in text.split([' ', ',', '-']).filter(|word| !word.is_empty()).enumerate() {
        *words.get_mut(index)? = word;
    }
    let ([_, day, month, year, time, "GMT"] | [_, month, day, time, year, ""]) = words else {
        return None;
    };
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let second = number(second)?.min(59); // a leap second counts as the one before it
    let (hour, minute) = (number(hour)?, number(minute)?);
    let (month, day) = (i8::try_from(month).ok()?, number(day)?);
    DateTime::new(full_year(year, this_year)?, month, day, hour, minute, second, 0)
        .and_then(|date| date.to_zoned(TimeZone::UTC))
        .ok()
        .map(|date| date.timestamp())
}

/// A year of two digits is the nearest one that is not more than 50 years ahead (RFC 9110 §5.6.7).
fn full_year(text: &str, this_year: i64) -> Option<i16> {
    let digits = text.len();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || (digits != 2 && digits != 4) {
        return None;
    }
    let year: i64 = text.parse().ok()?;
    if digits == 4 {
        return i16::try_from(year).ok();
    }
    let year = this_year - this_year.rem_euclid(100) + year;
    i16::try_from(if year > this_year + 50 { year - 100 } else { year }).ok()
}

fn number(text: &str) -> Option<i8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::proptest;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn seconds_and_every_form_of_date_are_read() {
        let check = |value: &str, want: Option<u64>| {
            assert_eq!(retry_after(value.as_bytes(), now()), want.map(Duration::from_secs), "{value:?}");
        };
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sunday, 06-Nov-94 08:49:47 GMT", Some(10));
        check("Sun Nov  6 08:49:39 1994", Some(2));
        check("Sun, 06 Nov 1994 08:49:60 GMT", Some(22));
        check("Sat, 05 Nov 1994 08:49:37 GMT", Some(0));
        for absent in
            ["", "-1", "1.5", "soon", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"]
        {
            check(absent, None);
        }
        assert_eq!(retry_after(b"99999999999999999999", now()), Some(Duration::MAX));
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        assert_eq!(full_year("94", 2026), Some(1994));
        assert_eq!(full_year("70", 2026), Some(2070));
        assert_eq!(full_year("26", 2026), Some(2026));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(value: Vec<u8>) {
            let _ = retry_after(&value, now());
        }

        #[test]
        fn anything_that_looks_like_a_date_is_read_without_panic(
            value in "[A-Z][a-z]{2}, [0-9]{1,3}[ -](Nov|Feb)[ -][0-9]{1,5} [0-9]{1,3}:[0-9]{2}:[0-9]{2} GMT"
        ) {
            let _ = retry_after(value.as_bytes(), now());
        }
    }
}
