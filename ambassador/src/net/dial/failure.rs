// SPDX-License-Identifier: Apache-2.0
//! How a dial fails, as far as policy and labels are concerned: whose fault it is.

use std::{io, net::SocketAddr};

use thiserror::Error;

/// Why a dial failed, as far as policy and labels are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialFailure {
    /// The destination answered with RST (`ECONNREFUSED`).
    Refused,
    /// Nothing answered within the limit, or the kernel gave up (`ETIMEDOUT`).
    TimedOut,
    /// A router said that there is no way (`EHOSTUNREACH`, `ENETUNREACH`, …).
    Unreachable,
    /// This machine has no route there, or does not let anybody use it: nothing was sent.
    NoRoute,
    /// This machine could not dial (ports or descriptors exhausted): says nothing about the destination.
    Local,
}

impl DialFailure {
    /// The failure of a `connect()` that did not even begin.
    pub(super) fn before_asking(self) -> Self {
        if self == Self::Unreachable { Self::NoRoute } else { self }
    }
}

impl From<&io::Error> for DialFailure {
    fn from(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED | libc::ECONNRESET) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::TimedOut,
            Some(
                libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::EACCES
                | libc::EPERM,
            ) => Self::Unreachable,
            _ => Self::Local,
        }
    }
}

/// A dial that failed.
#[derive(Debug, Error)]
#[error("connect to {dst} failed")]
pub struct DialError {
    /// The address that was dialled.
    pub dst: SocketAddr,
    /// The class of the failure.
    pub failure: DialFailure,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}
