// SPDX-License-Identifier: Apache-2.0
//! Just enough HTTP/1.1 to be a scripted origin: read one request, write one response.
//!
//! It exists so that the origin can misbehave at every byte. It is never a model of how to serve HTTP.

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its number at this origin, from 0 on.
    pub index: usize,
    /// The number of its connection, from 0 on.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// The request target.
    pub path: String,
    /// The head with every byte of it, up to and with the empty line.
    pub head: String,
    /// The body, decoded if it came in chunks.
    pub body: Vec<u8>,
    /// When it was complete.
    pub at: Instant,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines as `name: value`, without framing.
    pub headers: Vec<String>,
    /// The body; framed by `content-length`.
    pub body: Vec<u8>,
}

/// Reads one request; `None` when the connection ended before its first byte.
pub fn read_request(reader: &mut impl BufRead, connection: usize) -> Result<Option<Arrival>> {
    let mut head = String::new();
    loop {
        let start = head.len();
        if reader.read_line(&mut head)? == 0 {
            if head.is_empty() {
                return Ok(None);
            }
            bail!("the connection ended within a request head: {head:?}");
        }
        if head[start..].trim_end().is_empty() {
            break;
        }
    }
    let mut words = head.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = read_body(reader, &head)?;
    Ok(Some(Arrival { index: 0, connection, method, path, head, body, at: Instant::now() }))
}

/// The value of a header of `head`, whatever its case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Writes `response`, or only the part of its body that `part` says.
pub fn write_response(mut stream: &TcpStream, response: &Response, part: Part) -> Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for header in &response.headers {
        write!(head, "{header}\r\n")?;
    }
    write!(head, "content-length: {}\r\n\r\n", response.body.len())?;
    let sent = match part {
        Part::Whole => response.body.len(),
        Part::Half => response.body.len() / 2,
    };
    stream.write_all(&[head.as_bytes(), &response.body[..sent]].concat()).context("write the response")
}

/// How much of a response's body is written.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first half, as before a reset.
    Half,
}

fn read_body(reader: &mut impl BufRead, head: &str) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16)?;
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk)?;
            body.extend(chunk);
            reader.read_line(&mut line)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = header(head, "content-length").map_or(Ok(0), str::parse)?;
    body.resize(length, 0);
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}
