// SPDX-License-Identifier: Apache-2.0
//! The kernel's side of a verdict.

use std::{io, net::SocketAddr, time::Duration};

use super::{FlowKey, dialling::Verdicts};
use crate::kernel::{self, KernelMaps};

/// How long a destination that was dialled with success is known to accept: long enough for a burst of connections
/// to pay for one, short enough that at most a few of them succeed in vain when it goes away.
pub const KNOWN_GOOD: Duration = Duration::from_secs(2);

impl Verdicts for KernelMaps {
    fn allow(&self, key: &FlowKey, socket_cookie: u64) -> io::Result<bool> {
        self.admit(&key.into(), socket_cookie).map_err(io::Error::other)
    }

    fn good(&self, netns_cookie: u64, dst: SocketAddr) {
        if let Err(error) = self.mark_good(netns_cookie, dst, KNOWN_GOOD) {
            tracing::debug!(%error, "a destination that accepts cannot be noted");
        }
    }

    fn not_good(&self, netns_cookie: u64, dst: SocketAddr) {
        if let Err(error) = self.forget_good(netns_cookie, dst) {
            tracing::debug!(%error, "a destination that failed cannot be forgotten");
        }
    }
}

impl From<&FlowKey> for kernel::FlowKey {
    fn from(key: &FlowKey) -> Self {
        Self { client: key.client(), listener: key.listener(), netns_cookie: key.netns_cookie() }
    }
}

impl From<&kernel::FlowKey> for FlowKey {
    fn from(key: &kernel::FlowKey) -> Self {
        Self::new(key.client, key.listener, key.netns_cookie)
    }
}
