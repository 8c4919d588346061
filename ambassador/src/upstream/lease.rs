// SPDX-License-Identifier: Apache-2.0
//! An upstream connection while an exchange has it.
//!
//! It closes when the exchange is dropped, and is reset if the program has reset its own: the origin is to see what it
//! would have seen without a proxy.

use std::ops::{Deref, DerefMut};

use super::connection::Connection;
use crate::{http1::wire, message::interim::InterimSink};

/// A connection that an exchange has.
pub(super) struct Lease {
    connection: Option<Box<Connection>>,
    program: InterimSink,
}

impl Lease {
    /// Lends `connection` for an exchange with `program`.
    pub(super) fn new(connection: Box<Connection>, program: InterimSink) -> Self {
        Self { connection: Some(connection), program }
    }

    /// The program's end of the exchange.
    pub(super) fn program(&self) -> &InterimSink {
        &self.program
    }

    /// Ends the lease: the connection goes on to live.
    pub(super) fn release(mut self) -> Box<Connection> {
        self.connection.take().expect(HELD)
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect(HELD)
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect(HELD)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection
            && self.program.is_reset()
        {
            wire::reset_on_close(&connection.stream);
        }
    }
}

const HELD: &str = "only `release` takes the connection, and it takes the lease";
