// SPDX-License-Identifier: Apache-2.0
//! What a program sends on an HTTP/1 flow: heads, bodies, and whatever it sends ahead.
//!
//! A waiting flow holds no buffer. A body which has not arrived as a whole is lent the reading side and hands back
//! what it read beyond its end. At most a bounded amount is read ahead of the current request.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::{
    gone_watch::GoneWatch,
    pipelines::Pipelines,
    unclear::Unclear,
    upload::{HandedBack, Upload},
    withheld,
};
use crate::http1::{
    framing::{Delimiter, Framing},
    head::{HeadError, RequestHead, is_worth_parsing},
    known,
    peer::Peer,
    wire::{self, AskKernel, Behind, Idle},
};
use crate::message::body::{Body, BodyError};

/// The reading side of a flow.
pub(super) struct Inbound {
    peer: Arc<Peer>,
    ahead: BytesMut,
    lent: Option<oneshot::Receiver<HandedBack>>,
    /// A body was given up before its end: what is in `ahead` is the rest of it.
    midway: bool,
    gone: GoneWatch,
    unclear: Unclear,
    pipelines: Pipelines,
}

/// Why no head was read.
pub(super) enum NoHead {
    /// The program ended the connection where it may.
    Ended,
    /// The connection failed.
    Gone,
    /// The connection ended in the middle of a head, or the rest of the head does not come.
    Unfinished,
    /// The head is refused.
    Refused(HeadError),
}

impl Inbound {
    /// The reading side of `peer`, from which `prefix` has been read.
    pub(super) fn new(peer: Arc<Peer>, prefix: BytesMut, unclear: Unclear, pipelines: Pipelines) -> Self {
        let gone = GoneWatch::default();
        Self { peer, ahead: prefix, lent: None, midway: false, gone, unclear, pipelines }
    }

    /// Reads the next head. A head that has begun must be complete within a minute.
    pub(super) async fn head(&mut self) -> Result<Arc<RequestHead>, NoHead> {
        if self.ahead.is_empty() {
            if self.peer.is_half_closed() {
                return Err(NoHead::Ended);
            }
            let ahead = &mut self.ahead;
            let first =
                poll_fn(|cx| wire::poll_read(&self.peer.stream, cx, |bytes| first_head(bytes, ahead))).await;
            match first.map_err(|_| NoHead::Gone)? {
                Ok(Some(head)) => return Ok(head),
                Ok(None) if self.ahead.is_empty() => return Err(NoHead::Ended),
                Ok(None) => {}
                Err(error) => return Err(NoHead::Refused(error)),
            }
        } else if self.peer.has_strayed() {
            return Err(NoHead::Refused(STRAYED));
        } else {
            self.peer.forget_pipelined();
            if let Some(head) = known::request(&self.ahead).map_err(NoHead::Refused)? {
                self.consume(head.raw().len());
                return Ok(head);
            }
        }
        if self.strays() {
            return Err(NoHead::Refused(STRAYED));
        }
        let only_empty_lines = self.ahead.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        let rest = self.rest_of_head();
        if only_empty_lines {
            rest.await
        } else {
            tokio::time::timeout(HEAD_TIME, rest).await.map_err(|_| NoHead::Unfinished)?
        }
    }

    /// The head without what would lead to requests that nobody reads, where a policy selects by what requests say.
    pub(super) fn readable_ever_after(&self, head: Arc<RequestHead>) -> Result<Arc<RequestHead>, NoHead> {
        if self.unclear == Unclear::Relay {
            return Ok(head);
        }
        let withheld = withheld::without_offers(&head).map_err(NoHead::Refused)?;
        Ok(withheld.map_or(head, Arc::new))
    }

    /// Makes `body` that of the request whose head has just been read.
    pub(super) fn body(&mut self, head: &RequestHead, body: &mut Body) -> Result<(), BodyError> {
        if head.framing() == Framing::None && self.ahead.is_empty() {
            return Ok(());
        }
        let mut delimiter = Delimiter::from(head.framing());
        if self.is_ahead_of_agreement(head) {
            delimiter = Delimiter::UntilClose;
        }
        let taken = match delimiter.advance(&self.ahead) {
            Ok(taken) => taken,
            Err(error) => {
                // Nothing of this request has gone out yet.
                let mut all = BytesMut::from(head.raw());
                all.unsplit(std::mem::take(&mut self.ahead));
                self.ahead = all;
                return Err(error);
            }
        };
        if delimiter.is_done() {
            *body = Body::whole(Bytes::copy_from_slice(&self.ahead[..taken]));
            self.consume(taken);
            return Ok(());
        }
        let (home, lent) = oneshot::channel();
        self.lent = Some(lent);
        let begun = std::mem::take(&mut self.ahead);
        *body = Body::source(Upload {
            peer: self.peer.clone(),
            begun,
            buffer: BytesMut::new(),
            delimiter,
            unclear: self.unclear,
            home: Some(home),
        });
        Ok(())
    }

    /// The program goes on in another protocol before the origin has agreed to it, and the origin may wait for that
    /// (the first `WebSocket`s did). It may also not agree, and read a request there: only the origin knows.
    fn is_ahead_of_agreement(&self, head: &RequestHead) -> bool {
        head.is_upgrade()
            && head.framing() == Framing::None
            && !self.ahead.is_empty()
            && self.unclear == Unclear::Relay
    }

    /// The request's body has been read to its end, so that the next request can be.
    pub(super) fn is_at_request(&mut self) -> bool {
        let Some(lent) = &mut self.lent else { return !self.midway };
        let Ok(handed_back) = lent.try_recv() else { return false };
        self.lent = None;
        match handed_back {
            HandedBack::AtRequest(ahead) => self.ahead = ahead,
            HandedBack::Midway(rest) => (self.ahead, self.midway) = (rest, true),
        }
        !self.midway
    }

    /// Watches for the program's end while its reply is awaited: `Ready` on a reset, and when it has left; FIN is noted
    /// in the peer, and so is that the program goes on with what is no request. Where nothing may be read any more, its
    /// reset still shows. One that has asked more than its upstream has got is not missed before that.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.ahead.len() < AHEAD_MAX && !self.peer.is_half_closed() && self.is_at_request() {
            if self.strays() {
                self.peer.set_strayed();
                break;
            }
            if self.pipelines == Pipelines::AtOnce && !self.ahead.is_empty() {
                self.peer.set_pipelined();
                break;
            }
            let ahead = &mut self.ahead;
            let read = wire::poll_read(&self.peer.stream, cx, |bytes| {
                ahead.extend_from_slice(bytes);
                (bytes.len(), Behind::More)
            });
            match ready!(read) {
                Ok(0) => {
                    self.peer.set_half_closed();
                    if self.is_left_unfinished() {
                        self.peer.set_strayed();
                    }
                }
                Ok(_) => {}
                Err(_) => {
                    self.peer.set_reset();
                    return Poll::Ready(());
                }
            }
        }
        self.gone.poll(cx, &self.peer, self.ahead.is_empty())
    }

    /// Takes what was read and not passed on, for a connection that is relayed as it is from there on.
    pub(super) fn take_ahead(&mut self) -> BytesMut {
        let _ = self.is_at_request();
        std::mem::take(&mut self.ahead)
    }

    /// The program has sent more than the current request.
    pub(super) fn has_more(&self) -> bool {
        !self.ahead.is_empty() || wire::idle_state(&self.peer.stream, AskKernel::No) != Idle::Quiet
    }

    /// What is done with a request that two parsers could read differently, or that is none.
    pub(super) fn unclear(&self) -> Unclear {
        self.unclear
    }

    /// Waits for the program to end its side after the last reply.
    pub(super) async fn drain(&mut self) {
        wire::drain(&self.peer.stream).await;
    }

    /// The program goes on with what can begin no request, where that may be relayed.
    fn strays(&self) -> bool {
        !self.ahead.is_empty() && self.unclear == Unclear::Relay && !may_begin_request(&self.ahead)
    }

    /// The program has ended its side in what will never be a whole head, where that may be relayed.
    fn is_left_unfinished(&self) -> bool {
        let whole = || matches!(RequestHead::parse(&self.ahead), Ok(Some(_)));
        !self.ahead.is_empty() && self.unclear == Unclear::Relay && !whole()
    }

    async fn rest_of_head(&mut self) -> Result<Arc<RequestHead>, NoHead> {
        let mut searched = self.ahead.len();
        loop {
            let ahead = &mut self.ahead;
            let read = poll_fn(|cx| {
                wire::poll_read(&self.peer.stream, cx, |bytes| {
                    ahead.extend_from_slice(bytes);
                    (bytes.len(), Behind::More)
                })
            });
            match read.await {
                Ok(0) if self.ahead.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {
                    return Err(NoHead::Ended);
                }
                Ok(0) => {
                    self.peer.set_half_closed();
                    return Err(NoHead::Unfinished);
                }
                Err(_) => return Err(NoHead::Gone),
                Ok(_) => {}
            }
            if is_worth_parsing(&self.ahead, searched)
                && let Some(head) = known::request(&self.ahead).map_err(NoHead::Refused)?
            {
                self.consume(head.raw().len());
                return Ok(head);
            }
            searched = self.ahead.len();
        }
    }

    fn consume(&mut self, count: usize) {
        if count == self.ahead.len() {
            self.ahead = BytesMut::new();
        } else {
            let _ = self.ahead.split_to(count);
        }
    }
}

/// Parses the head in what was just read; what follows it, or an unfinished head, goes to `ahead`.
fn first_head(bytes: &[u8], ahead: &mut BytesMut) -> (Result<Option<Arc<RequestHead>>, HeadError>, Behind) {
    let head = if bytes.is_empty() { Ok(None) } else { known::request(bytes) };
    let length = head.as_ref().map_or(0, |head| head.as_ref().map_or(0, |head| head.raw().len()));
    if length < bytes.len() {
        ahead.extend_from_slice(&bytes[length..]);
    }
    let framing = head.as_ref().ok().and_then(|head| head.as_ref().map(|head| head.framing()));
    let behind = framing.map_or(Behind::More, |framing| framing.behind(&bytes[length..]));
    (head, behind)
}

/// The bytes, or more like them, could be a request line (and empty lines before it). Of the signs that RFC 9110 allows
/// in a method only those count that some method has.
fn may_begin_request(bytes: &[u8]) -> bool {
    let line = bytes.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n'));
    let method = line.take_while(|byte| **byte != b' ').take(METHOD_MAX + 1);
    let mut length = 0;
    let plain = method
        .inspect(|_| length += 1)
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    plain && length <= METHOD_MAX
}

/// Why no head is read any more.
const STRAYED: HeadError = HeadError::Malformed("this can begin no request");
/// The longest method that is one: of those registered, UPDATEREDIRECTREF has 17 bytes.
const METHOD_MAX: usize = 32;
/// How long a head that has begun may take: our own limit, because the origin cannot see the connection yet.
const HEAD_TIME: Duration = Duration::from_mins(1);
/// How much is read ahead of the current request.
const AHEAD_MAX: usize = 64 * 1024;
