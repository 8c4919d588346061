// SPDX-License-Identifier: Apache-2.0
//! The places among `maxConnections` of the connection that is dialled ahead for a flow.
//!
//! It is open, or about to be, before anybody knows what it will carry; so it counts from its dial on, and whoever takes
//! the connection takes its places along.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::policy::bulkhead::Permit;

/// What is known of these places.
#[derive(Debug, Default)]
pub struct Ahead(Mutex<Places>);

/// Places of a connection that is dialled ahead.
#[derive(Debug, Default)]
pub enum Places {
    /// There are none: it has no limit, or waits for them, or they were taken.
    #[default]
    None,
    /// They are there, since then.
    Given(Vec<Permit>, Instant),
    /// There were none in time: nothing is dialled.
    Refused,
}

impl Ahead {
    /// Notes what came of the places.
    pub fn put(&self, places: Places) {
        // Outside of the lock: a place that goes back wakes who waits for it.
        drop(std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), places));
    }

    /// Takes what has come of them.
    pub fn take(&self) -> Places {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
