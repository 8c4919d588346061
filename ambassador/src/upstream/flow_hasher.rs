// SPDX-License-Identifier: Apache-2.0
//! The hash of a flow's identity: it is asked for with every request, and nobody outside chooses it.

use std::hash::Hasher;

/// Flow ids are counted up: spreading the bits is enough.
#[derive(Default)]
pub(super) struct FlowHasher(u64);

impl Hasher for FlowHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
