// SPDX-License-Identifier: Apache-2.0
//! One exchange that passes on a connection which is relayed: it goes through the stages of the stack when its reply
//! has begun, so that it is matched, counted and logged like any other.

use std::{mem, sync::Arc};

use futures_util::FutureExt as _;

use crate::{
    http1::head::{RequestHead, ResponseHead},
    message::{
        self, AttemptInfo, Request, Response, Stack,
        body::{Body, BodyErrorKind},
        flow::Flow,
        interim::InterimSink,
    },
};

/// A request that has gone out, and what is known of its reply.
pub(super) struct Passing {
    head: Arc<RequestHead>,
    state: State,
    sent: u64,
    received: u64,
}

enum State {
    /// Its reply has not begun.
    Awaited(Box<Request>),
    /// Its reply has, or had when the connection began to be relayed; the body tells its end.
    Replied { body: Body, status: Option<u16> },
}

impl Passing {
    /// The request that was under way when the connection began to be relayed.
    pub(super) fn under_way(head: Arc<RequestHead>, body: Body) -> Self {
        Self { head, state: State::Replied { body, status: None }, sent: 0, received: 0 }
    }

    /// A request of `flow` that has just gone out.
    pub(super) fn awaited(head: Arc<RequestHead>, flow: &Arc<Flow>) -> Self {
        let request = Request::new(
            message::RequestHead::Http1(Arc::clone(&head)),
            Body::empty(),
            Arc::clone(flow),
            // What comes to the program comes by the relay.
            InterimSink::none(),
        );
        Self { head, state: State::Awaited(request), sent: 0, received: 0 }
    }

    pub(super) fn request(&self) -> &RequestHead {
        &self.head
    }

    /// So many bytes of its body have gone out.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    /// So many bytes of its reply have come, the last head apart.
    pub(super) fn received(&mut self, count: usize) {
        self.received += count as u64;
    }

    /// The head of its reply has come.
    pub(super) fn reply(&mut self, head: ResponseHead, stack: &Stack) {
        let nothing = State::Replied { body: Body::empty(), status: None };
        self.state = match mem::replace(&mut self.state, nothing) {
            State::Awaited(request) => {
                let head = message::ResponseHead::Http1(Arc::new(head));
                State::Replied { body: through(stack, request, head), status: None }
            }
            State::Replied { body, .. } => {
                // When its stages were told of its reply, this head had not come.
                self.received += head.raw().len() as u64;
                State::Replied { body, status: Some(head.status()) }
            }
        };
    }

    /// Its reply has ended, or there will be none.
    pub(super) fn end(self, clean: Result<(), BodyErrorKind>, stack: &Stack) {
        let Self { state, sent, received, .. } = self;
        let (body, status) = match state {
            State::Awaited(request) => (through(stack, request, message::ResponseHead::Unread(None)), None),
            State::Replied { body, status } => (body, status),
        };
        body.end_read_along(status, sent, received, clean);
    }
}

/// Sends `request`, which has gone out already, through the stages with the reply that `head` begins; returns the body
/// whose end they want to hear of.
fn through(stack: &Stack, mut request: Box<Request>, head: message::ResponseHead) -> Body {
    let mut reply = Response::new(head, Body::empty());
    reply.attempt = Some(AttemptInfo { endpoint: request.flow.original_dst, reused: true, connect: None });
    request.replied = Some(reply);
    // No policy acts on it, so no stage waits or answers for itself.
    let replied = stack.serve(request).now_or_never().and_then(Result::ok);
    replied.map(|reply| reply.body).unwrap_or_default()
}
