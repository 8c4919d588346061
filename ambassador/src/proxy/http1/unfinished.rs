// SPDX-License-Identifier: Apache-2.0
//! An exchange that is dropped, as when ambassador ends, is reset: a reply that is cut must never look complete because
//! its end is that of the connection.

use std::sync::Arc;

use crate::http1::{peer::Peer, wire};

/// An exchange under way.
pub(super) struct Unfinished(Option<Arc<Peer>>);

impl Unfinished {
    /// An exchange of `peer` begins.
    pub(super) fn new(peer: &Arc<Peer>) -> Self {
        Self(Some(Arc::clone(peer)))
    }

    /// It has ended as it should.
    pub(super) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(peer) = &self.0 {
            wire::reset_on_close(&peer.stream);
        }
    }
}
