// SPDX-License-Identifier: Apache-2.0
//! Which protocol a flow speaks, without delaying any of them.
//!
//! The upstream is dialled while the program's first bytes are awaited, and whichever side speaks first decides: a
//! server that speaks first gets an opaque relay at once. Detection that cannot decide falls back to opaque; it never
//! closes a connection and never takes a byte away.

use std::{future::Future, io, pin::Pin, time::Duration};

use bytes::BytesMut;
use futures_util::FutureExt as _;
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{sleep, timeout},
};

mod sniff;

pub use sniff::{Sniffed, sniff};

use self::sniff::is_settings;
use super::{buffer::Buffer, copy::reset_on_close, dial::DialError, urgent};
use crate::policy::matcher::Protocol;

/// How long the rest of a request line may take before the flow counts as opaque. Only a program whose first bytes
/// are those of a known HTTP method waits at all.
const REQUEST_LINE_LIMIT: Duration = Duration::from_secs(1);

/// How long the program of a server that began with SETTINGS may take to say its preface. Its library says it at once;
/// only a server of another protocol that begins with these very bytes is delayed, and only this long.
const GREETED_PATIENCE: Duration = Duration::from_secs(1);

/// The most that the first read takes, in bytes: most requests and `ClientHello`s.
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

    /// Resets what has been dialled, as the program has reset its connection.
    fn reset(self) {
        let dialled = match self {
            Self::NotDialled => None,
            Self::Dialling(dial) => dial.now_or_never(),
            Self::Dialled(result) => Some(result),
        };
        if let Some(Ok(upstream)) = dialled {
            reset_on_close(&upstream);
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
/// with `Err` if the program's connection failed before it said anything; the upstream's fails in the same way then.
pub async fn detect(
    client: &TcpStream,
    mut spare: Spare,
    declared: Option<Protocol>,
    patience: Duration,
) -> io::Result<Detected> {
    if let Some(protocol @ (Protocol::Opaque | Protocol::Http1 | Protocol::Http2)) = declared {
        return Ok(Detected::new(protocol, BytesMut::new(), spare));
    }
    match hear(client, &mut spare, declared, patience).await {
        Ok(Heard { protocol, from_client, upstream_reset }) => {
            Ok(Detected { protocol, from_client, spare, upstream_reset })
        }
        Err(error) => {
            spare.reset();
            Err(error)
        }
    }
}

/// What [`Detected`] has but the dial.
struct Heard {
    protocol: Protocol,
    from_client: BytesMut,
    upstream_reset: bool,
}

async fn hear(
    client: &TcpStream,
    spare: &mut Spare,
    declared: Option<Protocol>,
    patience: Duration,
) -> io::Result<Heard> {
    let (mut from_client, mut server_first) = (BytesMut::new(), false);
    let heard = |protocol, from_client| Heard { protocol, from_client, upstream_reset: false };
    loop {
        let spoke = match &mut *spare {
            Spare::Dialling(dial) => tokio::select! {
                biased;
                readable = client.readable() => readable.map(|()| Spoke::Client)?,
                dialled = dial => {
                    *spare = Spare::Dialled(dialled);
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
                Err(_) => return Ok(heard(Protocol::Opaque, from_client)),
            },
        };
        if spoke == Spoke::Upstream {
            let greeted = match &*spare {
                Spare::Dialled(Ok(upstream)) => greets(upstream).await,
                _ => Ok(false),
            };
            if !matches!(greeted, Ok(true)) || timeout(GREETED_PATIENCE, client.readable()).await.is_err() {
                let upstream_reset = greeted.is_err();
                return Ok(Heard { protocol: Protocol::Opaque, from_client, upstream_reset });
            }
            server_first = true;
        }
        // Read here it would lose its mark; no protocol that is looked for begins so.
        if urgent::is_next(client) {
            return Ok(heard(Protocol::Opaque, from_client));
        }
        match read_first(client, &mut from_client) {
            Ok(0) => return Ok(heard(Protocol::Opaque, from_client)),
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
    Ok(heard(protocol, from_client))
}

/// Reads what is there, through a buffer that is borrowed for it: often nothing is, as when the server speaks first.
///
/// Nearly always it is a whole head, and nothing is behind it until the reply has come: the runtime is told so, which
/// saves the system call that would only say it. A short read alone is no sign of that: it also ends before urgent data.
fn read_first(client: &TcpStream, from_client: &mut BytesMut) -> io::Result<usize> {
    let mut buffer = Buffer::borrow();
    let room = &mut buffer.space()[..FIRST_READ];
    let mut read = None;
    let outcome = client.try_io(Interest::READABLE, || {
        let count = recv(client, &mut room[..], RecvFlags::empty())?.0;
        from_client.extend_from_slice(&room[..count]);
        read = Some(count);
        let is_empty = count < room.len() && from_client.ends_with(b"\r\n\r\n");
        if is_empty { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    });
    read.map_or(outcome, Ok)
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

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test is a client")]
    async fn behind_a_whole_head_the_kernel_is_not_asked_and_nothing_is_missed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let whole = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        let begun = b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nbo".to_vec();
        let full = [&b"GET / HTTP/1.1\r\nA: "[..], &[b'a'; FIRST_READ - 23], b"\r\n\r\n"].concat();
        for (bytes, is_asked) in [(whole, false), (begun, true), (full, true)] {
            let mut program =
                TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
            let (accepted, _) = listener.accept().await.expect("accept");
            program.write_all(&bytes).await.expect("write");
            let heard = detect(&accepted, Spare::NotDialled, None, LONG).await.expect("heard");
            assert_eq!(heard.from_client, bytes);
            let mut asked = false;
            let _ = accepted.try_io(Interest::READABLE, || {
                asked = true;
                Err::<(), _>(io::ErrorKind::WouldBlock.into())
            });
            assert_eq!(asked, is_asked, "{}", bytes.escape_ascii());
            program.write_all(b"more").await.expect("write");
            timeout(LONG, accepted.readable()).await.expect("it is seen").expect("open");
            assert_eq!(accepted.try_read(&mut [0; 8]).expect("read"), 4);
        }
    }

    const LONG: Duration = Duration::from_secs(10);
}
