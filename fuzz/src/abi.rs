// SPDX-License-Identifier: Apache-2.0
//! Records that the kernel side writes: events of the ring buffers, and the origins of connections.

use ambassador::kernel::SynEvent;
use ambassador_ebpf::{event, origin::Origin, plain};

/// Any record is an event or none; what it says of lengths is never trusted beyond the record.
pub fn check(record: &[u8]) {
    if let Some(origin) = plain::read::<Origin>(record) {
        let _ = origin.destination();
    }
    match SynEvent::try_from(record) {
        Ok(SynEvent::Held { syn, .. } | SynEvent::Stray { syn, .. }) => {
            assert!(syn.len() <= event::SYN_BYTES && syn.len() < record.len());
        }
        Ok(SynEvent::Closed { .. }) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
