// SPDX-License-Identifier: Apache-2.0
//! Who reads along while a relay carries bytes. It sees them before they go on, and can neither change nor hold them.

/// Reads along.
pub trait Watch {
    /// The program has sent these.
    fn client_sent(&mut self, bytes: &[u8]);

    /// The upstream has sent these.
    fn upstream_sent(&mut self, bytes: &[u8]);
}

/// Nobody reads along.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn client_sent(&mut self, _: &[u8]) {}

    fn upstream_sent(&mut self, _: &[u8]) {}
}
