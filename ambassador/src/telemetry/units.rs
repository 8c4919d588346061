// SPDX-License-Identifier: Apache-2.0
//! Durations and byte counts as people read them. Machines get plain numbers instead.

use std::time::Duration;

/// Three significant figures at most: `850 µs`, `12 ms`, `1.25 s`, `3 min 20 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{:.2} s", duration.as_secs_f64()),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// Milliseconds with microseconds behind the point, for machines.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Binary units with one decimal: `512 B`, `1.5 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = count as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = "KiB";
    while value >= 1023.95 {
        let Some(next) = units.next() else { break };
        unit = next;
        value /= 1024.0;
    }
    format!("{value:.1} {unit}")
}

const UNITS: [&str; 4] = ["MiB", "GiB", "TiB", "PiB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        for (micros, want) in [
            (0, "0 µs"),
            (850, "850 µs"),
            (1_250, "1.2 ms"),
            (12_900, "12 ms"),
            (1_250_000, "1.25 s"),
            (200_000_000, "3 min 20 s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), want);
        }
        for (count, want) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1_048_575, "1.0 MiB"), (5 << 30, "5.0 GiB")]
        {
            assert_eq!(bytes(count), want);
        }
        assert!(bytes(u64::MAX).ends_with(" PiB"));
    }
}
