// SPDX-License-Identifier: Apache-2.0
//! Whether ambassador serves, and if not, why: what `/readyz` and the service manager are told.

use std::sync::atomic::{AtomicU8, Ordering};

label_set! {
    /// The phases of the process's life.
    Phase {
        /// Listeners are being made and kernel programs attached.
        Starting => "starting",
        /// New connections are intercepted and served.
        Ready => "ready",
        /// The kernel programs are not attached, or not verified: connections go direct.
        Detached => "detached",
        /// New connections go direct, open ones are finished.
        Draining => "draining",
    }
}

/// The current phase; written by the program's start and stop, read by the probes.
#[derive(Debug)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// In the phase [`Phase::Starting`].
    pub fn new() -> Self {
        Self(AtomicU8::new(Phase::Starting as u8))
    }

    /// Enters a phase.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    /// The phase of this moment.
    pub fn phase(&self) -> Phase {
        let value = self.0.load(Ordering::Acquire);
        Phase::ALL.iter().copied().find(|phase| *phase as u8 == value).unwrap_or(Phase::Starting)
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}
