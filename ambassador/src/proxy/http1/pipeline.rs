// SPDX-License-Identifier: Apache-2.0
//! Reads along on a connection whose program does not wait for replies, and says what became of each request.
//!
//! Both ways are relayed as they are, so that requests and replies arrive when they would directly: an origin may wait
//! for a second request before it answers the first. Only where no policy acts is this done, since whatever is read
//! here has gone out. What cannot be read without a guess ends the reading, never the relay; and what is kept of
//! requests that wait for their replies is bounded.

mod passing;

use std::{collections::VecDeque, sync::Arc};

use bytes::BytesMut;

use self::passing::Passing;
use crate::{
    http1::{
        framing::Delimiter,
        head::{HeadError, RequestHead, ResponseHead, is_worth_parsing},
    },
    message::{
        Pipelined, ReplyAt, Stack,
        body::{Body, BodyErrorKind},
        flow::Flow,
    },
    net::copy::{RelayEnd, Watch},
};

/// What passes on one connection, in both directions.
pub(in crate::proxy) struct Pipeline {
    flow: Arc<Flow>,
    stack: Stack,
    /// Requests whose replies have not ended, the oldest first.
    open: VecDeque<Passing>,
    /// Bytes of their heads.
    held: usize,
    requests: Reading,
    replies: Reading,
}

/// How far one direction has been read.
enum Reading {
    /// In a head, of which this has arrived.
    Head(BytesMut),
    /// In a body.
    Body(Delimiter),
    /// It cannot be read, or is not HTTP any more.
    Over,
}

impl Pipeline {
    /// Reads along from what is under way on; `body` is where the end of that reply is told.
    pub(in crate::proxy) fn new(under_way: Pipelined, body: Body, flow: Arc<Flow>, stack: Stack) -> Self {
        let Pipelined { head, reply } = under_way;
        let requests = if head.is_upgrade() { Reading::Over } else { Reading::Head(BytesMut::new()) };
        let replies = match reply {
            ReplyAt::Head => Reading::Head(BytesMut::new()),
            ReplyAt::Body(delimiter) => Reading::Body(delimiter),
        };
        let held = head.raw().len();
        let open = VecDeque::from([Passing::under_way(head, body)]);
        Self { flow, stack, open, held, requests, replies }
    }

    /// The connection has ended: so have all requests on it.
    pub(in crate::proxy) fn end(mut self, end: RelayEnd) {
        let cut = match end {
            RelayEnd::Closed => BodyErrorKind::Truncated,
            RelayEnd::ClientReset | RelayEnd::ClientLeft => BodyErrorKind::Abandoned,
            RelayEnd::UpstreamReset => BodyErrorKind::Reset,
            RelayEnd::Idle => BodyErrorKind::Idle,
        };
        let whole = match &self.replies {
            Reading::Head(_) => false,
            Reading::Body(delimiter) => delimiter.connection_ended().is_ok(),
            Reading::Over => true,
        };
        if whole && end == RelayEnd::Closed {
            self.conclude();
        }
        for passing in self.open {
            passing.end(Err(cut), &self.stack);
        }
    }

    /// Takes bytes of the program's; returns how many of them are read.
    fn read_request(&mut self, bytes: &[u8]) -> Result<usize, Unreadable> {
        match &mut self.requests {
            Reading::Head(begun) => {
                let Some((head, count)) =
                    whole_head(begun, bytes, RequestHead::parse, |head| head.raw().len())?
                else {
                    return Ok(bytes.len());
                };
                self.held += head.raw().len();
                if self.open.len() >= OPEN_MAX || self.held > HELD_MAX {
                    return Err(Unreadable);
                }
                self.requests = match Delimiter::from(head.framing()) {
                    // What follows it belongs to whatever the origin makes of it.
                    _ if head.is_upgrade() => Reading::Over,
                    delimiter if delimiter.is_done() => Reading::Head(BytesMut::new()),
                    delimiter => Reading::Body(delimiter),
                };
                self.open.push_back(Passing::awaited(Arc::new(head), &self.flow));
                Ok(count)
            }
            Reading::Body(delimiter) => {
                let count = delimiter.advance(bytes).map_err(|_| Unreadable)?;
                let is_done = delimiter.is_done();
                self.count_sent(count);
                if is_done {
                    self.requests = Reading::Head(BytesMut::new());
                }
                Ok(count)
            }
            Reading::Over => {
                self.count_sent(bytes.len());
                Ok(bytes.len())
            }
        }
    }

    /// Takes bytes of the origin's; returns how many of them are read.
    fn read_reply(&mut self, bytes: &[u8]) -> Result<usize, Unreadable> {
        let front = self.open.front_mut();
        match &mut self.replies {
            Reading::Head(begun) => {
                // A reply that nobody has asked for.
                let front = front.ok_or(Unreadable)?;
                let parse = |bytes: &[u8]| ResponseHead::parse(bytes, front.request().method());
                let Some((head, count)) = whole_head(begun, bytes, parse, |head| head.raw().len())? else {
                    return Ok(bytes.len());
                };
                let status = head.status();
                let is_tunnel = (200..300).contains(&status) && front.request().is_connect();
                if (100..200).contains(&status) && status != 101 {
                    front.received(head.raw().len());
                    *begun = BytesMut::new();
                    return Ok(count);
                }
                let delimiter = Delimiter::from(head.framing());
                front.reply(head, &self.stack);
                if status == 101 || is_tunnel {
                    self.replies = Reading::Over;
                    self.requests = Reading::Over;
                } else if delimiter.is_done() {
                    self.conclude();
                } else {
                    self.replies = Reading::Body(delimiter);
                }
                Ok(count)
            }
            Reading::Body(delimiter) => {
                let count = delimiter.advance(bytes).map_err(|_| Unreadable)?;
                if let Some(front) = front {
                    front.received(count);
                }
                if delimiter.is_done() {
                    self.conclude();
                }
                Ok(count)
            }
            Reading::Over => {
                if let Some(front) = front {
                    front.received(bytes.len());
                }
                Ok(bytes.len())
            }
        }
    }

    /// The oldest reply has ended as it should.
    fn conclude(&mut self) {
        if let Some(answered) = self.open.pop_front() {
            self.held = self.held.saturating_sub(answered.request().raw().len());
            answered.end(Ok(()), &self.stack);
        }
        if !matches!(self.replies, Reading::Over) {
            self.replies = Reading::Head(BytesMut::new());
        }
    }

    /// The last request is the one that is arriving; if it is answered already, nobody counts.
    fn count_sent(&mut self, count: usize) {
        if let Some(last) = self.open.back_mut() {
            last.sent(count);
        }
    }
}

impl Watch for Pipeline {
    fn client_sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.read_request(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Unreadable) => self.requests = Reading::Over,
            }
        }
    }

    fn upstream_sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.read_reply(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Unreadable) => self.replies = Reading::Over,
            }
        }
    }
}

/// What comes cannot be read without a guess, or would take too much room.
struct Unreadable;

/// The head that `bytes` complete, and how many of them belong to it; until then they are added to what has `begun`.
fn whole_head<H>(
    begun: &mut BytesMut,
    bytes: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<Option<H>, HeadError>,
    length: impl FnOnce(&H) -> usize,
) -> Result<Option<(H, usize)>, Unreadable> {
    let searched = begun.len();
    let parsed = if searched == 0 {
        parse(bytes)
    } else {
        begun.extend_from_slice(bytes);
        if is_worth_parsing(begun, searched) { parse(begun) } else { Ok(None) }
    };
    let Some(head) = parsed.map_err(|_| Unreadable)? else {
        if searched == 0 {
            begun.extend_from_slice(bytes);
        }
        return Ok(None);
    };
    let count = length(&head) - searched;
    Ok(Some((head, count)))
}

/// The most requests that wait for the ends of their replies; beyond them nothing more is read.
pub(in crate::proxy) const OPEN_MAX: usize = 1024;
/// The most bytes of their heads.
const HELD_MAX: usize = 256 * 1024;
