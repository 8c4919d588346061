// SPDX-License-Identifier: Apache-2.0
//! Where an HTTP/1 message ends (RFC 9112 §6.3), as its head says it, and where that is in the bytes that pass.

use super::{chunked::Chunked, wire::Behind};
use crate::message::body::BodyError;

/// How the length of a body is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding` that ends in `chunked`.
    Chunked,
    /// A reply that lasts until its connection ends.
    UntilClose,
}

impl Framing {
    /// A body that begins with `bytes` goes on behind them, as far as can be told without following it.
    pub(crate) fn behind(self, bytes: &[u8]) -> Behind {
        let is_whole = match self {
            Self::None => bytes.is_empty(),
            Self::Length(length) => length == bytes.len() as u64,
            Self::Chunked => bytes.ends_with(b"0\r\n\r\n"),
            Self::UntilClose => false,
        };
        if is_whole { Behind::Nothing } else { Behind::More }
    }
}

/// The minor version of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Finds the end of a body in the bytes that pass.
#[derive(Debug)]
pub enum Delimiter {
    /// That many bytes are still to come.
    Length(u64),
    /// The chunk that says so.
    Chunked(Chunked),
    /// The end of the connection.
    UntilClose,
}

impl From<Framing> for Delimiter {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl Delimiter {
    /// Takes the next bytes of the connection and returns how many of them belong to the body.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BodyError> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunked) => chunked.advance(bytes).map_err(BodyError::Malformed),
            Self::UntilClose => Ok(bytes.len()),
        }
    }

    /// The body has ended.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// The connection has ended in an orderly way: so has the body, or it was cut.
    pub fn connection_ended(&self) -> Result<(), BodyError> {
        if self.is_done() || matches!(self, Self::UntilClose) { Ok(()) } else { Err(BodyError::Truncated) }
    }
}
