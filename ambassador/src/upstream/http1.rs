// SPDX-License-Identifier: Apache-2.0
//! One HTTP/1 exchange on an upstream connection.
//!
//! The request is sent while the reply is already read, because an origin may answer before it has taken the whole
//! body (early 413, 100 Continue, 103). What happened to a failed exchange is told truthfully: how much was sent,
//! whether anything was replied. Dropping an exchange closes its connection.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;

use super::{
    download::{Download, Received},
    pool::Connection,
};
use crate::{
    http1::{
        framing::Delimiter,
        head::{HeadError, RequestHead, ResponseHead, is_worth_parsing},
        peer::InterimSink,
        wire,
    },
    message::{
        self, Response, Upgrade,
        body::{Body, BodyError},
        error::{ProxyError, Sent},
    },
};

/// Sends a request on `connection` and returns the reply when its head is complete.
pub(crate) async fn exchange(
    connection: Connection,
    head: RequestHead,
    body: Body,
    interim: InterimSink,
) -> Result<Response, ProxyError> {
    let sending = Sending { written: 0, chunk: Bytes::new(), body, state: SendState::Sending };
    let mut exchange =
        Exchange { connection, head, sending, interim, received: BytesMut::new(), replied: false };
    let mut interims = 0;
    loop {
        let Received { head: reply, rest } = exchange.reply_head().await?;
        let upgraded = exchange.is_upgraded(reply.status());
        if reply.status() == 101 && !upgraded {
            return Err(ProxyError::MalformedReply("101 to a request that asked for no upgrade"));
        }
        if reply.status() >= 200 || upgraded {
            return exchange.finish(reply, rest, upgraded);
        }
        interims += 1;
        if interims > INTERIM_MAX {
            return Err(ProxyError::MalformedReply("too many interim replies"));
        }
        exchange.interim.send(reply.raw()).await.map_err(ProxyError::ClientGone)?;
        exchange.received = rest;
    }
}

struct Exchange {
    connection: Connection,
    head: RequestHead,
    sending: Sending,
    interim: InterimSink,
    received: BytesMut,
    replied: bool,
}

impl Exchange {
    /// Reads the next reply head while sending the request.
    async fn reply_head(&mut self) -> Result<Received, ProxyError> {
        let mut searched = 0;
        loop {
            if self.received.len() > searched
                && is_worth_parsing(&self.received, searched)
                && let Some(head) = parse(&self.received, self.head.method())?
            {
                let rest = self.received.split_off(head.raw().len());
                self.received = BytesMut::new();
                return Ok(Received { head, rest });
            }
            searched = self.received.len();
            if let Some(received) = poll_fn(|cx| self.poll_reply(cx)).await? {
                return Ok(received);
            }
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, ProxyError>> {
        let stream = &self.connection.stream;
        if let Poll::Ready(Err(error)) = self.sending.poll(cx, stream, self.head.raw(), &self.interim) {
            return Poll::Ready(Err(match error {
                BodyError::Malformed(what) => ProxyError::MalformedRequest(what),
                BodyError::Reset(source) => ProxyError::ClientGone(source),
                BodyError::Truncated => ProxyError::ClientGone(io::ErrorKind::UnexpectedEof.into()),
                BodyError::Stream(source) => ProxyError::ClientGone(io::Error::other(source)),
                BodyError::Overdue => ProxyError::ClientGone(io::ErrorKind::TimedOut.into()),
            }));
        }
        let (head, received, replied) = (&self.head, &mut self.received, &mut self.replied);
        let read = ready!(wire::poll_read(stream, cx, |bytes| {
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *replied = true;
            // Nearly every head comes in one piece: parse it where it stands.
            let whole = if received.is_empty() { parse(bytes, head.method()) } else { Ok(None) };
            Ok(whole.map(|whole| {
                let Some(head) = whole else {
                    received.extend_from_slice(bytes);
                    return None;
                };
                let rest = BytesMut::from(&bytes[head.raw().len()..]);
                Some(Received { head, rest })
            }))
        }));
        Poll::Ready(match read.and_then(|read| read) {
            Ok(parsed) => parsed,
            Err(source) => Err(ProxyError::Disconnected {
                reused: self.connection.reused,
                sent: self.sending.sent(),
                replied: self.replied,
                source,
            }),
        })
    }

    /// The connection no longer speaks HTTP after this reply.
    fn is_upgraded(&self, status: u16) -> bool {
        self.head.is_upgrade()
            && (status == 101 || (self.head.method() == "CONNECT" && (200..300).contains(&status)))
    }

    fn finish(
        mut self,
        reply: ResponseHead,
        mut rest: BytesMut,
        upgraded: bool,
    ) -> Result<Response, ProxyError> {
        if upgraded {
            let mut response = Response::new(message::ResponseHead::Http1(reply), Body::empty());
            response.upgrade = Some(Upgrade { upstream: self.connection.stream, received: rest.freeze() });
            return Ok(response);
        }
        self.connection.unshared |= self.head.is_unshared() || reply.is_unshared();
        if let Some(seconds) = reply.keep_alive_timeout().filter(|_| !self.connection.unshared) {
            // A second less than announced: the origin's clock starts earlier than ours.
            let announced = Duration::from_secs(u64::from(seconds.saturating_sub(1)));
            self.connection.idle_limit = self.connection.idle_limit.min(announced);
        }
        let mut delimiter = Delimiter::from(reply.framing());
        let malformed = |_| ProxyError::MalformedReply("the chunks of the body");
        let taken = delimiter.advance(&rest).map_err(malformed)?;
        let clean = taken == rest.len();
        rest.truncate(taken);
        let begun = rest.freeze();
        let reusable = clean && reply.persists(&self.head);
        let mut download =
            Download::new(self.connection, self.sending, self.head, self.interim, delimiter, reusable);
        let body = if download.try_finish() {
            Body::whole(begun)
        } else {
            download.begin_with(begun);
            Body::source(download)
        };
        Ok(Response::new(message::ResponseHead::Http1(reply), body))
    }
}

fn parse(bytes: &[u8], method: &str) -> Result<Option<ResponseHead>, ProxyError> {
    ResponseHead::parse(bytes, method).map_err(|error| {
        ProxyError::MalformedReply(match error {
            HeadError::Malformed(what) => what,
            HeadError::LineTooLong | HeadError::TooLarge => "the head is too large",
        })
    })
}

/// A request on its way out.
pub(super) struct Sending {
    written: usize,
    chunk: Bytes,
    body: Body,
    state: SendState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendState {
    Sending,
    Sent,
    /// The program's FIN was passed on after the request.
    HalfClosed,
    /// The upstream takes no more; what it has replied is still read.
    Refused,
}

impl Sending {
    /// Goes on sending; fails only when the body itself does.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &tokio::net::TcpStream,
        head: &[u8],
        interim: &InterimSink,
    ) -> Poll<Result<(), BodyError>> {
        while self.state == SendState::Sending {
            let body_waits = self.chunk.is_empty() && self.take(cx)?.is_pending();
            if self.written == head.len() && self.chunk.is_empty() {
                if body_waits {
                    return Poll::Pending;
                }
                if self.body.is_end_stream() {
                    self.state = SendState::Sent;
                }
                continue;
            }
            match ready!(wire::poll_write(stream, cx, head, &mut self.written, &mut self.chunk)) {
                Ok(()) if self.body.is_end_stream() => self.state = SendState::Sent,
                Ok(()) => {}
                Err(_) => self.state = SendState::Refused,
            }
        }
        if self.state == SendState::Sent && interim.is_half_closed() {
            wire::shutdown_write(stream);
            self.state = SendState::HalfClosed;
        }
        Poll::Ready(Ok(()))
    }

    /// All of the request was sent, and more may follow on the same connection.
    pub(super) fn is_sent(&self) -> bool {
        self.state == SendState::Sent
    }

    /// Nothing more will be sent.
    pub(super) fn is_over(&self) -> bool {
        self.state != SendState::Sending
    }

    fn sent(&self) -> Sent {
        match self.state {
            SendState::Sent | SendState::HalfClosed => Sent::Fully,
            SendState::Sending | SendState::Refused if self.written == 0 => Sent::Nothing,
            SendState::Sending | SendState::Refused => Sent::Partly,
        }
    }

    fn take(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, BodyError> {
        if self.body.is_end_stream() {
            return Ok(Poll::Ready(()));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Some(frame)) => self.chunk = frame?.into_data().unwrap_or_default(),
            Poll::Ready(None) => {}
        }
        Ok(Poll::Ready(()))
    }
}

/// The most interim replies to one request.
const INTERIM_MAX: u32 = 64;
