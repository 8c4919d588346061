// SPDX-License-Identifier: Apache-2.0
//! Which protocol a flow speaks, without delaying any of them.
//!
//! The upstream is dialled while the program's first bytes are awaited, and whichever side speaks first decides: a
//! server that speaks first gets an opaque relay at once. Detection that cannot decide falls back to opaque; it never
//! closes a connection and never takes a byte away.

use std::{future::Future, io, pin::Pin, time::Duration};

use bytes::BytesMut;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::dial::DialError;
use crate::policy::matcher::Protocol;

/// How long the rest of a request line may take before the flow counts as opaque. Only a program whose first bytes
/// are those of a known HTTP method waits at all.
const REQUEST_LINE_LIMIT: Duration = Duration::from_secs(1);

/// How long the program of a server that began with SETTINGS may take to say its preface. Its library says it at once;
/// only a server of another protocol that begins with these very bytes is delayed, and only this long.
const GREETED_PATIENCE: Duration = Duration::from_secs(1);

/// Room for the first read, in bytes: most requests and `ClientHello`s. Without it a read takes 64.
const FIRST_READ: usize = 2 * 1024;

/// Longest request line that is waited for.
const MAX_REQUEST_LINE: usize = 8 * 1024;

/// A dial under way, owned by whoever needs its socket.
pub type Dialling = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send>>;

/// The socket that was dialled for a flow, as far as it has come.
pub enum Spare {
    /// No dial was begun: a pooled connection is expected to serve, or the circuit breaker is open.
    NotDialled,
    /// Still dialling.
    Dialling(Dialling),
    /// The dial has ended.
    Dialled(Result<TcpStream, DialError>),
}

impl Spare {
    /// Waits for the dial; `None` if none was begun.
    pub async fn finish(self) -> Option<Result<TcpStream, DialError>> {
        match self {
            Self::NotDialled => None,
            Self::Dialling(dial) => Some(dial.await),
            Self::Dialled(result) => Some(result),
        }
    }
}

/// What the first bytes of a flow say.
pub struct Detected {
    /// What the flow speaks.
    pub protocol: Protocol,
    /// What was read from the program and is to be given on first.
    pub from_client: BytesMut,
    /// The dial that was begun for the flow.
    pub spare: Spare,
    /// The upstream has reset its connection, and its socket does not tell any more.
    pub upstream_reset: bool,
}

impl Detected {
    /// What a flow speaks that has gone as far as this.
    pub fn new(protocol: Protocol, from_client: BytesMut, spare: Spare) -> Self {
        Self { protocol, from_client, spare, upstream_reset: false }
    }
}

/// Reads the program's first bytes, racing them against the dial and the upstream's first bytes.
///
/// A dial that fails ends the race after `patience` more: a program that speaks HTTP can then be told in HTTP. Ends
/// with `Err` if the program's connection failed before it said anything.
pub async fn detect(
    client: &TcpStream,
    mut spare: Spare,
    declared: Option<Protocol>,
    patience: Duration,
) -> io::Result<Detected> {
    let (mut from_client, mut server_first) = (BytesMut::new(), false);
    if let Some(protocol @ (Protocol::Opaque | Protocol::Http1 | Protocol::Http2)) = declared {
        return Ok(Detected::new(protocol, from_client, spare));
    }
    loop {
        let spoke = match &mut spare {
            Spare::Dialling(dial) => tokio::select! {
                biased;
                readable = client.readable() => readable.map(|()| Spoke::Client)?,
                dialled = dial => {
                    spare = Spare::Dialled(dialled);
                    continue;
                }
            },
            Spare::Dialled(Ok(upstream)) => tokio::select! {
                biased;
                // A server whose banner is here already spoke first, even if the program has spoken since.
                readable = upstream.readable() => readable.map_or(Spoke::Upstream, |()| Spoke::Upstream),
                readable = client.readable() => readable.map(|()| Spoke::Client)?,
            },
            // Nobody can speak first but the program; if it does not, it may be waiting for the server to.
            Spare::NotDialled | Spare::Dialled(Err(_)) => match timeout(patience, client.readable()).await {
                Ok(readable) => readable.map(|()| Spoke::Client)?,
                Err(_) => return Ok(Detected::new(Protocol::Opaque, from_client, spare)),
            },
        };
        if spoke == Spoke::Upstream {
            let greeted = match &spare {
                Spare::Dialled(Ok(upstream)) => greets(upstream).await,
                _ => Ok(false),
            };
            if !matches!(greeted, Ok(true)) || timeout(GREETED_PATIENCE, client.readable()).await.is_err() {
                let upstream_reset = greeted.is_err();
                return Ok(Detected { protocol: Protocol::Opaque, from_client, spare, upstream_reset });
            }
            server_first = true;
        }
        from_client.reserve(FIRST_READ);
        match client.try_read_buf(&mut from_client) {
            Ok(0) => return Ok(Detected::new(Protocol::Opaque, from_client, spare)),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let protocol = match declared {
        Some(protocol) => protocol,
        None => complete(client, &mut from_client).await?,
    };
    let protocol = if server_first && protocol != Protocol::Http2 { Protocol::Opaque } else { protocol };
    Ok(Detected::new(protocol, from_client, spare))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoke {
    Client,
    Upstream,
}

/// Whether a server has begun as one of HTTP/2 does: with SETTINGS, before it has heard anything (RFC 9113 §3.4). Its
/// bytes stay where they are; its reset does not, whoever asks first is told.
async fn greets(upstream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 9];
    upstream.peek(&mut first).await.map(|count| is_settings(&first[..count]))
}

/// The head of a SETTINGS frame with at most 42 of them.
fn is_settings(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, length, 4, 0, 0, 0, 0, 0] if length % 6 == 0)
}

/// Reads on while the first bytes could become a request line.
async fn complete(client: &TcpStream, from_client: &mut BytesMut) -> io::Result<Protocol> {
    let mut limit = std::pin::pin!(sleep(REQUEST_LINE_LIMIT));
    loop {
        match sniff(from_client) {
            Sniffed::Protocol(protocol) => return Ok(protocol),
            // A policy that selects by what requests say must not be evaded by saying more than is read.
            Sniffed::Undecided if from_client.len() >= MAX_REQUEST_LINE => return Ok(Protocol::Http1),
            Sniffed::Undecided => {}
        }
        tokio::select! {
            readable = client.readable() => readable?,
            () = &mut limit => return Ok(Protocol::Opaque),
        }
        match client.try_read_buf(from_client) {
            Ok(0) => return Ok(Protocol::Opaque),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a prefix of a flow says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// It can only be this.
    Protocol(Protocol),
    /// It may become HTTP.
    Undecided,
}

/// Looks at the first bytes that a program sent. Pure; total for any input.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    use Sniffed::{Protocol as Is, Undecided};
    match bytes {
        [] | [0x16] => return Undecided,
        // A TLS record of type handshake, version 3.x (RFC 8446 §5.1).
        [0x16, 3, ..] => return Is(Protocol::Tls),
        _ => {}
    }
    if let Some(frame) = bytes.strip_prefix(HTTP2_PREFACE) {
        // Without SETTINGS it is what a server of HTTP/1 is asked whether it speaks HTTP/2.
        return match frame {
            [_, _, _, 4, 0, 0, 0, 0, 0, ..] => Is(Protocol::Http2),
            _ if frame.len() < 9 => Undecided,
            _ => Is(Protocol::Opaque),
        };
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Undecided;
    }
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_request_line(&bytes[..end]) => Is(Protocol::Http1),
        None if may_become_request_line(bytes) => Undecided,
        _ => Is(Protocol::Opaque),
    }
}

/// RFC 9113 §3.4; a SETTINGS frame follows in the same flight.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods whose first bytes are worth waiting for the rest of the line (RFC 9110 §9.3, RFC 5789, RFC 4918).
const METHODS: [&[u8]; 16] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"TRACE ",
    b"CONNECT ",
    b"PATCH ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"REPORT ",
];

/// `method SP target SP HTTP/1.x [CR]`, whatever the method's name (RFC 9112 §3).
fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(rest) = line.len().checked_sub(9).map(|at| &line[at..]) else { return false };
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    rest.starts_with(b" HTTP/1.") && rest[8].is_ascii_digit() && method > 0 && line.get(method) == Some(&b' ')
}

fn may_become_request_line(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        let common = method.len().min(bytes.len());
        method[..common] == bytes[..common]
    }) && bytes.iter().all(|byte| *byte >= b' ' || *byte == b'\r')
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        use Sniffed::{Protocol as Is, Undecided};
        for (bytes, want) in [
            (&b""[..], Undecided),
            (b"GET / HTTP/1.1\r\n", Is(Protocol::Http1)),
            (b"GET / HTTP/1.0\n", Is(Protocol::Http1)),
            (b"FROBNICATE /x HTTP/1.1\r\nHost: a\r\n", Is(Protocol::Http1)),
            (b"PO", Undecided),
            (b"POST /a/very/long", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Is(Protocol::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand so on", Is(Protocol::Opaque)),
            (b"PRI * HT", Undecided),
            (b"\x16\x03\x01\x02\x00\x01", Is(Protocol::Tls)),
            (b"\x16", Undecided),
            (b"*1\r\n$4\r\nPING\r\n", Is(Protocol::Opaque)),
            (b"PING\r\n", Is(Protocol::Opaque)),
            (b"PING", Is(Protocol::Opaque)),
            (b"get key\r\n", Is(Protocol::Opaque)),
            (b"GET key\r\n", Is(Protocol::Opaque)),
            (b"GET /\r\n", Is(Protocol::Opaque)),
            (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Is(Protocol::Opaque)),
            (b"GET \x00", Is(Protocol::Opaque)),
            (b" HTTP/1.1\r\n", Is(Protocol::Opaque)),
        ] {
            assert_eq!(sniff(bytes), want, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn settings_are_told_from_other_greetings() {
        for settings in [&b"\0\0\x00\x04\0\0\0\0\0"[..], b"\0\0\x12\x04\0\0\0\0\0"] {
            assert!(is_settings(settings));
        }
        for other in [
            &b"220 mail"[..],
            b"",
            b"\0\0\x12\x04\0\0\0\0",
            b"\0\0\x12\x04\x01\0\0\0\0",
            b"\0\0\x05\x04\0\0\0\0\0",
        ] {
            assert!(!is_settings(other), "{}", other.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_decision_never_changes_with_more_bytes(bytes: Vec<u8>, more: Vec<u8>, known in 0..METHODS.len()) {
            for first in [bytes.clone(), [METHODS[known], &bytes].concat()] {
                if let Sniffed::Protocol(protocol) = sniff(&first) {
                    prop_assert_eq!(sniff(&[first, more.clone()].concat()), Sniffed::Protocol(protocol));
                }
            }
        }
    }
}
