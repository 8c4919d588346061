// SPDX-License-Identifier: Apache-2.0
//! What an attempt came to, in the one vocabulary that retry, breaker and metrics share.
//!
//! Every module judges the same facts, so that a retry and the breaker cannot disagree about what happened. A refusal
//! that ambassador itself made must never look like a failure of the upstream.

/// How much of a request reached the kernel's socket of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Written {
    /// Not one byte: the upstream cannot have seen the request.
    Nothing,
    /// Some of it; over a fresh connection the upstream may already have acted on the head.
    Partly,
    /// All of it, the end of the body included.
    Fully,
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// A reply with this HTTP status, not a gRPC one.
    Status(u16),
    /// A gRPC reply with this `grpc-status`.
    Grpc(u16),
    /// An opaque flow's connection was made: the success of flows that have no replies.
    Connected,
    /// No connection: refused, unreachable, or the connect limit passed.
    ConnectFailed,
    /// HTTP/2 `RST_STREAM` with `REFUSED_STREAM`: not processed (RFC 9113 §8.7).
    RefusedStream,
    /// HTTP/2 GOAWAY whose last stream is before this one: not processed (RFC 9113 §6.8).
    GoawayUnprocessed,
    /// The connection closed or reset before the reply's end.
    Reset {
        /// It had carried an earlier request, so it may have been stale.
        reused: bool,
        /// How much of this request had been written.
        written: Written,
        /// At least one byte of this request's reply had arrived.
        replied: bool,
    },
    /// The attempt's own limit (`perTry`) passed before the reply's head.
    PerTryTimeout {
        /// How much of the request had been written.
        written: Written,
    },
    /// The limit of the whole request passed during this attempt.
    RequestTimeout,
    /// What arrived is not a reply.
    InvalidReply,
    /// Ambassador refused the attempt itself (breaker, limit, policy): no fact about the upstream.
    Local,
    /// The program went away first: no fact about the upstream.
    ClientGone,
}
