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
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    connection::Connection,
    cut_head::CutHead,
    download::{Download, Received, conclude},
    lease::Lease,
    pool,
    sending::Sending,
};
use crate::{
    http1::{
        framing::Delimiter,
        head::{RequestHead, ResponseHead, is_worth_parsing},
        known,
        wire::{self, Behind},
    },
    message::{
        self, Pipelined, ReplyAt, Request, Response,
        body::{Body, BodyError},
        error::ProxyError,
        plan::Plan,
    },
};

/// Sends a request on `connection` and returns the reply when its head is complete.
///
/// What cannot be read as a reply without a guess is not refused: from there on the connection is relayed as it is,
/// and belongs to this flow.
pub(crate) async fn exchange(
    connection: Box<Connection>,
    head: Arc<RequestHead>,
    request: Box<Request>,
) -> Result<Box<Response>, ProxyError> {
    let failures = Failures::of(request.plan.as_deref());
    let sending = Sending::new(request.body, request.progress);
    let is_followed = connection.key.destination == request.flow.original_dst;
    let connection = Lease::new(connection, request.interim);
    let received = BytesMut::new();
    let mut exchange =
        Exchange { connection, is_followed, head, sending, received, replied: false, staleness: None };
    let mut interims = 0;
    loop {
        let Received { head: reply, rest } = match exchange.reply_head().await {
            Ok(Arrived::Head(received)) => received,
            Ok(Arrived::Unread) => return Ok(exchange.relay_unread()),
            Ok(Arrived::Nothing) => return Ok(exchange.relay_pipelined()),
            Err(error) => return exchange.pass_on(error, failures),
        };
        if reply.status() >= 200 || exchange.is_upgraded(reply.status()) {
            return Ok(exchange.finish(reply, rest));
        }
        exchange.received = BytesMut::from(rest);
        interims += 1;
        if interims > INTERIM_MAX {
            let rest = std::mem::replace(&mut exchange.received, BytesMut::from(reply.raw()));
            exchange.received.unsplit(rest);
            return Ok(exchange.relay_unread());
        }
        exchange.connection.program().send(reply.raw()).await.map_err(ProxyError::ClientGone)?;
    }
}

/// What becomes of a reply that is cut within its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failures {
    /// The program sees it as it is.
    Pass,
    /// A policy decides.
    Judge,
}

impl Failures {
    fn of(plan: Option<&Plan>) -> Self {
        if plan.is_none_or(Plan::passes_failures) { Self::Pass } else { Self::Judge }
    }
}

struct Exchange {
    connection: Lease,
    /// The program's connection ends with this one: it leads to where the program dialled.
    is_followed: bool,
    head: Arc<RequestHead>,
    sending: Sending,
    received: BytesMut,
    replied: bool,
    /// Until when bytes behind the request wait for a sign that the connection is not stale.
    staleness: Option<Pin<Box<Sleep>>>,
}

/// What has arrived of a reply.
enum Arrived {
    /// A head.
    Head(Received),
    /// What cannot be read as one; the bytes are in `Exchange::received`.
    Unread,
    /// Nothing yet, and the program goes on without waiting for it.
    Nothing,
}

impl Exchange {
    /// Reads the next reply head while sending the request.
    async fn reply_head(&mut self) -> Result<Arrived, ProxyError> {
        let mut searched = 0;
        loop {
            if self.received.len() > searched && is_worth_parsing(&self.received, searched) {
                match known::reply(&self.received, self.head.method()) {
                    Ok(Some(head)) => {
                        let rest = self.received.split_off(head.raw().len()).freeze();
                        self.received = BytesMut::new();
                        return Ok(Arrived::Head(Received { head, rest }));
                    }
                    Ok(None) => {}
                    Err(_) => return Ok(Arrived::Unread),
                }
            }
            searched = self.received.len();
            if let Some(arrived) = poll_fn(|cx| self.poll_reply(cx)).await? {
                return Ok(arrived);
            }
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Arrived>, ProxyError>> {
        let stream = &self.connection.stream;
        if let Poll::Ready(Err(error)) =
            self.sending.poll(cx, stream, self.head.raw(), self.connection.program())
        {
            return Poll::Ready(Err(match error {
                BodyError::Malformed(what) => ProxyError::MalformedRequest(what),
                BodyError::Reset(source) => ProxyError::ClientGone(source),
                BodyError::Truncated => ProxyError::ClientGone(io::ErrorKind::UnexpectedEof.into()),
                BodyError::Stream(source) => ProxyError::ClientGone(io::Error::other(source)),
                BodyError::Overdue => ProxyError::ClientGone(io::ErrorKind::TimedOut.into()),
                // Only replies are relayed unread.
                BodyError::Unread(_) => ProxyError::ClientGone(io::ErrorKind::Other.into()),
            }));
        }
        let Poll::Ready(read) = self.poll_read(cx) else {
            let program = self.connection.program();
            return match () {
                () if !self.sending.is_sent() => Poll::Pending,
                () if program.has_strayed() => self.poll_staleness(cx).map(|()| Ok(Some(Arrived::Unread))),
                // Whatever becomes of the request now, its program sees it as it would directly.
                () if program.is_pipelined() => Poll::Ready(Ok(Some(Arrived::Nothing))),
                () => Poll::Pending,
            };
        };
        Poll::Ready(match read.and_then(|read| read) {
            Ok(arrived) => Ok(arrived),
            Err(source) => Err(ProxyError::Disconnected {
                reused: self.connection.reused,
                sent: self.sending.sent(),
                replied: self.replied,
                source,
            }),
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<io::Result<Option<Arrived>>>> {
        let stream = &self.connection.stream;
        let (head, received, replied) = (&self.head, &mut self.received, &mut self.replied);
        wire::poll_read(stream, cx, |bytes| {
            if bytes.is_empty() {
                return (Err(io::ErrorKind::UnexpectedEof.into()), Behind::More);
            }
            *replied = true;
            // Nearly every head comes in one piece: parse it where it stands.
            let whole = if received.is_empty() { known::reply(bytes, head.method()) } else { Ok(None) };
            let (arrived, behind) = match whole {
                Ok(Some(head)) => {
                    let rest = Bytes::copy_from_slice(&bytes[head.raw().len()..]);
                    let behind = head.framing().behind(&rest);
                    (Some(Arrived::Head(Received { head, rest })), behind)
                }
                Ok(None) => {
                    received.extend_from_slice(bytes);
                    (None, Behind::More)
                }
                Err(_) => {
                    received.extend_from_slice(bytes);
                    (Some(Arrived::Unread), Behind::More)
                }
            };
            (Ok(arrived), behind)
        })
    }

    /// Bytes behind the request go out once and nothing is repeated after that, because only the origin knows what they
    /// are. So on a kept connection, where the request may have met its close and can be repeated until then, they wait
    /// for that to show: for a round trip, or for the reply.
    fn poll_staleness(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.connection.reused || self.replied {
            return Poll::Ready(());
        }
        self.staleness.get_or_insert_with(|| Box::pin(sleep(ROUND_TRIP))).as_mut().poll(cx)
    }

    /// The connection no longer speaks HTTP after this reply. Nobody but the two ends knows what a 101 means that was
    /// not asked for.
    fn is_upgraded(&self, status: u16) -> bool {
        status == 101 || ((200..300).contains(&status) && self.head.is_connect())
    }

    /// What has arrived of a head that was cut is the program's, where it is to see failures as they are.
    fn pass_on(self, error: ProxyError, failures: Failures) -> Result<Box<Response>, ProxyError> {
        match error {
            ProxyError::Disconnected { source, .. } if failures == Failures::Pass && self.replied => {
                let end = if source.kind() == io::ErrorKind::UnexpectedEof {
                    BodyError::Truncated
                } else {
                    BodyError::Reset(source)
                };
                let cut = CutHead::new(self.received.freeze(), end);
                Ok(Response::new(message::ResponseHead::Unread(None), Body::source(cut)))
            }
            // The program has cut its request: what the origin makes of that says nothing about the origin.
            ProxyError::Disconnected { source, .. }
                if failures == Failures::Judge && self.sending.is_cut() =>
            {
                Err(ProxyError::ClientGone(source))
            }
            error => Err(error),
        }
    }

    /// Everything that comes from here on passes as it is.
    fn relay_unread(self) -> Box<Response> {
        let status = ResponseHead::status_of(&self.received);
        let mut response = Response::new(message::ResponseHead::Unread(status), Body::empty());
        response.upgrade =
            Some(Box::new(self.sending.into_upgrade(self.connection, &self.head, self.received.freeze())));
        response
    }

    /// The program goes on without waiting for the reply: so do both ways, and what passes is read along.
    fn relay_pipelined(self) -> Box<Response> {
        let mut upgrade = self.sending.into_upgrade(self.connection, &self.head, self.received.freeze());
        upgrade.pipelined = Some(Pipelined { head: self.head, reply: ReplyAt::Head });
        let mut response = Response::new(message::ResponseHead::Unread(None), Body::empty());
        response.upgrade = Some(Box::new(upgrade));
        response
    }

    fn finish(mut self, reply: Arc<ResponseHead>, mut rest: Bytes) -> Box<Response> {
        let mut delimiter = Delimiter::from(reply.framing());
        let taken = match delimiter.advance(&rest) {
            Ok(taken) if !self.is_upgraded(reply.status()) => taken,
            Ok(_) | Err(_) => {
                let mut response = Response::new(message::ResponseHead::Http1(reply), Body::empty());
                response.upgrade =
                    Some(Box::new(self.sending.into_upgrade(self.connection, &self.head, rest)));
                return response;
            }
        };
        let is_kept = reply.is_kept(&self.head);
        self.connection.unshared |= self.head.is_unshared() || reply.is_unshared() || !is_kept;
        if self.head.is_bound() || reply.is_bound() {
            pool::bind(&mut self.connection);
        }
        if let Some(seconds) = reply.keep_alive_timeout().filter(|_| !self.connection.unshared) {
            // A second less than announced: the origin's clock starts earlier than ours.
            let announced = Duration::from_secs(u64::from(seconds.saturating_sub(1)));
            self.connection.idle_limit = self.connection.idle_limit.min(announced);
        }
        let beyond = rest.split_off(taken);
        let clean = beyond.is_empty();
        // A program of HTTP/1.0 may wait for the end: where nobody passes it on, the reply is followed by one.
        if !is_kept && self.is_followed {
            self.connection.hold_open();
        }
        let reusable = clean && reply.persists(&self.head) && (is_kept || self.is_followed);
        let mut response = Response::new(message::ResponseHead::Http1(reply), Body::empty());
        if delimiter.is_done() && self.sending.is_over() {
            let now = Instant::now();
            conclude(self.connection, &self.sending, reusable, now);
            response.body.fill(rest, now);
        } else {
            let mut download = Download::new(self.connection, self.sending, self.head, delimiter, reusable);
            download.begin_with(rest, beyond.into());
            response.body = Body::source(download);
        }
        response
    }
}

/// Longer than nearly every round trip.
const ROUND_TRIP: Duration = Duration::from_millis(250);
/// The most interim replies to one request that are read; beyond them the connection is relayed as it is.
const INTERIM_MAX: u32 = 64;
