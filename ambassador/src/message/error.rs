// SPDX-License-Identifier: Apache-2.0
//! Why a request got no reply from its upstream.
//!
//! One closed enum carries every failure of a request from the place where it happened to the one place where it
//! becomes a status or a reset (`layer::rescue`). Which side failed, which status it becomes and how it is labelled
//! are answered here by exhaustive match, so that a new failure cannot be forgotten.

use std::{io, time::Duration};

use thiserror::Error;

use crate::{
    net::dial::{DialError, DialFailure},
    telemetry::labels::ErrorType,
};

/// How much of a request had been handed to the kernel when its attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Not one byte.
    Nothing,
    /// Some bytes, not all.
    Partly,
    /// All of it.
    Fully,
}

/// A request that failed before its reply's head was complete.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The upstream could not be dialled.
    #[error("no connection to the upstream")]
    Connect(#[source] DialError),
    /// The upstream connection was closed or reset before a complete reply head.
    #[error("the upstream closed the connection before its reply was complete")]
    Disconnected {
        /// The connection had carried an earlier request.
        reused: bool,
        /// How much of the request had been sent.
        sent: Sent,
        /// At least one byte of the reply (1xx included) had arrived.
        replied: bool,
        /// What the kernel said; `UnexpectedEof` for an orderly close.
        #[source]
        source: io::Error,
    },
    /// The upstream refused the HTTP/2 stream: provably not processed (RFC 9113 §8.7).
    #[error("the upstream refused the stream")]
    RefusedStream(#[source] h2::Error),
    /// The upstream's GOAWAY names an earlier stream as its last: provably not processed (RFC 9113 §6.8).
    #[error("the upstream was going away and did not process the stream")]
    GoneAway(#[source] h2::Error),
    /// The upstream failed an HTTP/2 exchange otherwise.
    #[error("the HTTP/2 exchange with the upstream failed")]
    Http2(#[source] h2::Error),
    /// The upstream's reply could not be understood.
    #[error("the upstream's reply is malformed: {0}")]
    MalformedReply(&'static str),
    /// The program's request could not be understood, or its framing is ambiguous (RFC 9112 §6.3).
    #[error("the request is malformed: {0}")]
    MalformedRequest(&'static str),
    /// One attempt lasted longer than `timeouts.perTry`.
    #[error("an attempt took longer than {limit:?} (timeouts.perTry)")]
    PerTryTimeout {
        /// `timeouts.perTry`.
        limit: Duration,
        /// How much of the request had been sent.
        sent: Sent,
    },
    /// The request lasted longer than `timeouts.request`.
    #[error("the request took longer than {0:?} (timeouts.request)")]
    RequestTimeout(Duration),
    /// The circuit breaker is open.
    #[error("the circuit breaker is open for another {retry_after:.1?}")]
    CircuitOpen {
        /// When the breaker admits a probe.
        retry_after: Duration,
    },
    /// A limit of `connectionPool` is reached.
    #[error("connectionPool.{limit} is reached")]
    Overflow {
        /// The configuration's name of the limit.
        limit: &'static str,
    },
    /// `outboundTrafficPolicy: Deny` and no route matches.
    #[error("no route allows this destination (outboundTrafficPolicy: Deny)")]
    Denied,
    /// The program went away before its reply.
    #[error("the program closed its connection")]
    ClientGone(#[source] io::Error),
}

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The program that made the request.
    Client,
    /// The upstream.
    Upstream,
    /// Ambassador itself refused: never an upstream failure.
    Local,
}

impl ProxyError {
    /// Who failed.
    pub fn side(&self) -> Side {
        match self {
            Self::Connect(error) if error.failure == DialFailure::Local => Side::Local,
            Self::Connect(_)
            | Self::Disconnected { .. }
            | Self::RefusedStream(_)
            | Self::GoneAway(_)
            | Self::Http2(_)
            | Self::MalformedReply(_)
            | Self::PerTryTimeout { .. }
            | Self::RequestTimeout(_) => Side::Upstream,
            Self::CircuitOpen { .. } | Self::Overflow { .. } | Self::Denied => Side::Local,
            Self::MalformedRequest(_) | Self::ClientGone(_) => Side::Client,
        }
    }

    /// The status that an HTTP program is answered with.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::Connect(_)
            | Self::Disconnected { .. }
            | Self::RefusedStream(_)
            | Self::GoneAway(_)
            | Self::Http2(_)
            | Self::MalformedReply(_) => http::StatusCode::BAD_GATEWAY,
            Self::PerTryTimeout { .. } | Self::RequestTimeout(_) => http::StatusCode::GATEWAY_TIMEOUT,
            Self::CircuitOpen { .. } | Self::Overflow { .. } => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied => http::StatusCode::FORBIDDEN,
            Self::MalformedRequest(_) | Self::ClientGone(_) => http::StatusCode::BAD_REQUEST,
        }
    }

    /// The code with which the stream of HTTP/2 failed, if there is one: the upstream's, or what the codec found wrong.
    pub fn reset(&self) -> Option<h2::Reason> {
        match self {
            Self::Http2(error) => error.reason(),
            _ => None,
        }
    }

    /// The value of `x-ambassador-error`, one of a closed set: the `error_type` of logs and metrics, with hyphens.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect(error) => match error.failure {
                DialFailure::Refused => "connect-refused",
                DialFailure::TimedOut => "connect-timeout",
                DialFailure::Unreachable | DialFailure::NoRoute => "connect-unreachable",
                DialFailure::Local => match ErrorType::from(error) {
                    ErrorType::NoPorts => "no-ports",
                    ErrorType::NoDescriptors => "no-descriptors",
                    _ => "connect-failed",
                },
            },
            Self::Disconnected { .. } => "reset",
            Self::RefusedStream(_) | Self::GoneAway(_) => "refused-stream",
            Self::Http2(_) => "http2",
            Self::MalformedReply(_) => "malformed-response",
            Self::MalformedRequest(_) => "malformed",
            Self::PerTryTimeout { .. } => "timeout-per-try",
            Self::RequestTimeout(_) => "timeout-request",
            Self::CircuitOpen { .. } => "circuit-open",
            Self::Overflow { .. } => "overflow",
            Self::Denied => "denied",
            Self::ClientGone(_) => "client-gone",
        }
    }
}
