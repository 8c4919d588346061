// SPDX-License-Identifier: Apache-2.0
//! Ambassador's own messages as JSON: one object per line, with the same `time` as the lines of requests have.
//!
//! It exists because tracing's own format names the time otherwise and gives it in another precision, and whoever reads
//! the one stream reads the other. What a message quotes never drives a terminal.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

use crate::telemetry::safe_json;

/// The line of a message, without a newline; the fields keep their order.
pub(super) fn message(level: &str, fields: &[(&'static str, Value)], target: &str) -> String {
    let time = format!("{:.3}", Timestamp::now());
    // Plain values: it cannot fail.
    safe_json::to_string(&Message { time, level, fields, target }, 256).unwrap_or_default()
}

#[derive(Serialize)]
struct Message<'a> {
    time: String,
    level: &'a str,
    #[serde(serialize_with = "as_object")]
    fields: &'a [(&'static str, Value)],
    target: &'a str,
}

fn as_object<S: Serializer>(fields: &[(&'static str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

/// Writes what is traced so.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let about = event.metadata();
        writeln!(writer, "{}", message(about.level().as_str(), &fields.0, about.target()))
    }
}

#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Keeps each write by itself.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl io::Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_is_one_write_with_the_time_of_lines() {
        let writes = Writes::default();
        let sink = writes.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(Lines).with_writer(move || sink.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "ambassador::x", pid = 7_u32, who = %"a\u{9b}b", none = None::<u64>, "it is {}", "so");
        });
        let writes = writes.0.lock().expect("no panic");
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert!(writes[0].ends_with("}\n") && writes[0].contains("a\\u009bb"), "{writes:?}");
        assert!(writes[0].contains(r#""fields":{"message":"it is so","pid":7,"who""#), "{writes:?}");
        let mut line: Value = serde_json::from_str(&writes[0]).expect("JSON");
        let time = line["time"].take();
        let time = time.as_str().expect("a text");
        assert_eq!(time.len(), "2026-11-20T09:55:00.007Z".len(), "{time}");
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        let fields = serde_json::json!({"message": "it is so", "pid": 7, "who": "a\u{9b}b"});
        assert_eq!(
            line,
            serde_json::json!({"time": null, "level": "WARN", "fields": fields, "target": "ambassador::x"})
        );
    }
}
