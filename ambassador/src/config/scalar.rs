// SPDX-License-Identifier: Apache-2.0
//! The single values of the configuration, each with its range: numbers, durations, sizes, names, addresses.
//!
//! A value of one of these types is right by construction; what remains for `compile` are the rules between values.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value as Json, json};

use super::node::{Node, Value};
use super::problem::Problem;
use super::reader::Reader;
use super::shape::Shape;
use super::units::{self, UnitError};

/// A whole number within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: u32, const MAX: u32>(pub(crate) u32);

/// How many; 0 is allowed.
pub(crate) type Count = Whole<0, { u32::MAX }>;
/// How many; at least one.
pub(crate) type Positive = Whole<1, { u32::MAX }>;
/// Attempts after the first.
pub(crate) type Attempts = Whole<0, 100>;
/// A TCP port.
pub(crate) type Port = Whole<1, 65535>;
/// An HTTP status that can end a request.
pub(crate) type StatusCode = Whole<200, 599>;

/// A number within a range, in hundredths of which the bounds are given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number<const MIN_HUNDREDTHS: i32, const MAX_HUNDREDTHS: i32>(pub(crate) f64);

/// A threshold in percent.
pub(crate) type Percent = Number<1, 10_000>;
/// A share; 1.0 is as many again.
pub(crate) type Ratio = Number<0, 100>;

/// A duration longer than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A time limit; `0s` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

/// A number of bytes, up to 64 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

/// The size of a sliding window: calls or time, as its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowSize {
    Calls(u32),
    Time(Duration),
}

impl Port {
    /// The port as the system takes it.
    pub(crate) fn narrow(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

const LARGEST_SIZE: u64 = 64 << 20;

impl<const MIN: u32, const MAX: u32> Shape for Whole<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let number = match &node.value {
            Value::Integer(number) => {
                u32::try_from(*number).ok().filter(|number| (MIN..=MAX).contains(number))
            }
            _ => None,
        };
        if number.is_none() {
            let expected = match (MIN, MAX) {
                (1, 65535) => "a port number from 1 to 65535",
                (200, 599) => "a status code, a whole number from 200 to 599",
                (0, 100) => "a whole number from 0 to 100",
                (1, _) => "a whole number from 1 to 4294967295",
                _ => "a whole number from 0 to 4294967295",
            };
            reader.problem(node.place, Problem::expected(expected, &node.value));
        }
        number.map(Self)
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: i32, const MAX: i32> Shape for Number<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let number = match node.value {
            Value::Integer(number) => i32::try_from(number).ok().map(f64::from),
            Value::Float(number) => Some(number),
            _ => None,
        };
        let range = f64::from(MIN) / 100.0..=f64::from(MAX) / 100.0;
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let expected = match MAX {
                10_000 => "a percentage, a number from 0.01 to 100",
                _ => "a ratio, a number from 0 to 1 (0.2 is 20 %)",
            };
            reader.problem(node.place, Problem::expected(expected, &node.value));
        }
        number.map(Self)
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "number", "minimum": f64::from(MIN) / 100.0, "maximum": f64::from(MAX) / 100.0 })
    }
}

impl Shape for Span {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let duration = read_duration(node, reader)?;
        if duration.is_zero() {
            let problem =
                Problem::malformed("a duration that fits here", "0s", "it must be longer than zero", None);
            reader.problem(node.place, problem);
            return None;
        }
        Some(Self(duration))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "pattern": units::DURATION_PATTERN })
    }
}

impl Shape for Limit {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        read_duration(node, reader)
            .map(|duration| Self(Some(duration).filter(|duration| !duration.is_zero())))
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        Span::schema(definitions)
    }
}

impl Shape for Size {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let bytes = match &node.value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| UnitError::TooLarge),
            Value::Text(text) => units::parse_size(text),
            other => {
                reader.problem(node.place, Problem::expected("a size such as `64KiB`", other));
                return None;
            }
        };
        match bytes.and_then(|bytes| if bytes <= LARGEST_SIZE { Ok(bytes) } else { Err(UnitError::TooLarge) })
        {
            Ok(bytes) => usize::try_from(bytes).ok().map(Self),
            Err(error) => {
                let help =
                    (error == UnitError::Unit).then(|| "write for example `64KiB` or `1MiB`".to_owned());
                reader.problem(node.place, unit_problem("a size of at most 64MiB", &node.value, error, help));
                None
            }
        }
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": LARGEST_SIZE },
            { "type": "string", "pattern": units::SIZE_PATTERN },
        ]})
    }
}

impl Shape for WindowSize {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Integer(_) => Positive::read(node, reader).map(|calls| Self::Calls(calls.0)),
            _ => Span::read(node, reader).map(|time| Self::Time(time.0)),
        }
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        json!({ "anyOf": [Positive::schema(definitions), Span::schema(definitions)] })
    }
}

impl Shape for bool {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        reader.problem(node.place, Problem::expected("`true` or `false`", &node.value));
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "boolean" })
    }
}

impl Shape for IpNet {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = read_text("a network such as `10.0.0.0/8`", node, reader)?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::from(address));
        }
        let problem = match text.parse::<Self>() {
            Ok(network) if network.trunc() == network => return Some(network),
            Ok(network) => {
                let help = format!("write `{}`", network.trunc());
                Problem::malformed("a network", text, "it has bits set beyond its prefix", Some(help))
            }
            Err(_) => Problem::malformed(
                "a network",
                text,
                "an address and a prefix length are wanted",
                Some("write for example `10.0.0.0/8` or `\"fd00::/8\"`".to_owned()),
            ),
        };
        reader.problem(node.place, problem);
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.1"] })
    }
}

impl Shape for SocketAddr {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = read_text("an address such as `127.0.0.1:9464`", node, reader)?;
        let address = text.parse();
        if address.is_err() {
            let help = Some("write for example `127.0.0.1:9464` or `\"[::1]:9464\"`".to_owned());
            let problem =
                Problem::malformed("a listen address", text, "an IP address and a port are wanted", help);
            reader.problem(node.place, problem);
        }
        address.ok()
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "examples": ["127.0.0.1:9464"] })
    }
}

/// The text of a value, or a finding.
pub(crate) fn read_text<'a>(expected: &'static str, node: &'a Node, reader: &mut Reader) -> Option<&'a str> {
    if let Value::Text(text) = &node.value {
        return Some(text);
    }
    reader.problem(node.place, Problem::expected(expected, &node.value));
    None
}

fn read_duration(node: &Node, reader: &mut Reader) -> Option<Duration> {
    let parsed = match &node.value {
        Value::Text(text) => units::parse_duration(text),
        Value::Integer(_) | Value::Float(_) => Err(UnitError::NoUnit),
        other => {
            reader.problem(node.place, Problem::expected("a duration such as `10s`", other));
            return None;
        }
    };
    if let Err(error) = parsed {
        let help = match (&node.value, error) {
            (Value::Integer(number), UnitError::NoUnit) => format!("write `{number}s` or `{number}ms`"),
            (_, UnitError::TooLarge) => "a year is the longest".to_owned(),
            _ => "write for example `10s`, `250ms` or `1m30s`".to_owned(),
        };
        reader.problem(node.place, unit_problem("a duration", &node.value, error, Some(help)));
    }
    parsed.ok()
}

fn unit_problem(what: &'static str, value: &Value, error: UnitError, help: Option<String>) -> Problem {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        other => other.kind().to_owned(),
    };
    Problem::malformed(what, &text, error.reason(), help)
}
