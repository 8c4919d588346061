// SPDX-License-Identifier: Apache-2.0
//! How much of an attempt has been sent, for a stage that ends it from the outside.
//!
//! An attempt that is dropped cannot tell how far it came; whether it may be repeated depends on that.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use super::error::Sent;

/// How much of an attempt has been handed to the kernel. Costs nothing unless somebody watches.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<AtomicU8>>);

impl Progress {
    /// Of an attempt that has just begun, to be watched.
    pub fn watched() -> Self {
        Self(Some(Arc::new(AtomicU8::new(Sent::Nothing as u8))))
    }

    /// Notes how far it has come.
    pub fn note(&self, sent: Sent) {
        if let Some(progress) = &self.0 {
            progress.store(sent as u8, Relaxed);
        }
    }

    /// How far it has come; all of it must be assumed to be sent if nobody watched.
    pub fn sent(&self) -> Sent {
        let Some(progress) = &self.0 else { return Sent::Fully };
        let known = [Sent::Nothing, Sent::Partly, Sent::Fully];
        known.into_iter().find(|sent| *sent as u8 == progress.load(Relaxed)).unwrap_or(Sent::Fully)
    }
}
