// SPDX-License-Identifier: Apache-2.0
//! Why a body was cut: what its reader is told, and the class that is counted.

use std::io;

use thiserror::Error;

use crate::message::Upgrade;

/// Why a body was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyErrorKind {
    /// Its sender's connection was reset.
    Reset,
    /// Its sender's connection ended in the middle of it.
    Truncated,
    /// Its framing could not be understood.
    Malformed,
    /// Its HTTP/2 stream was reset.
    Stream,
    /// The time of its request was over.
    Overdue,
    /// Nothing moved for the idle timeout.
    Idle,
    /// Its reader stopped.
    Abandoned,
}

/// A body that was cut.
#[derive(Debug, Error)]
pub enum BodyError {
    /// Its sender's connection was reset.
    #[error("the connection was reset in the middle of a body")]
    Reset(#[source] io::Error),
    /// Its sender's connection ended in the middle of it.
    #[error("the connection ended in the middle of a body")]
    Truncated,
    /// Its framing could not be understood.
    #[error("the framing of a body is malformed: {0}")]
    Malformed(&'static str),
    /// Its HTTP/2 stream was reset.
    #[error("the HTTP/2 stream was reset in the middle of a body")]
    Stream(#[source] h2::Error),
    /// The time of its request was over (`timeouts.request`).
    #[error("the time of the request was over in the middle of a body")]
    Overdue,
    /// What comes now is no body that could be read without a guess: its connection is relayed as it is.
    #[error("the rest of a body can only be relayed as it is")]
    Unread(Box<Upgrade>),
}

impl BodyError {
    /// The class of the error.
    pub fn kind(&self) -> BodyErrorKind {
        match self {
            Self::Reset(_) => BodyErrorKind::Reset,
            Self::Truncated => BodyErrorKind::Truncated,
            Self::Malformed(_) | Self::Unread(_) => BodyErrorKind::Malformed,
            Self::Stream(_) => BodyErrorKind::Stream,
            Self::Overdue => BodyErrorKind::Overdue,
        }
    }
}
