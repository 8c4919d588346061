// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C and its like: noted, so that a bench ends between two measurements and its guards undo what they did.
//!
//! It exists because a signal that simply ends the program leaves namespaces, cgroups and servers behind. The children
//! are in process groups of their own and do not see a Ctrl-C of the terminal; they end with their guards.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// From now on, signals that ask for the end are only noted.
pub(crate) fn note() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(noted), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: `noted` does nothing but store to an atomic, which may be done in a signal handler.
        unsafe { sigaction(signal, &action) }.with_context(|| format!("note {signal}"))?;
    }
    Ok(())
}

/// An error if the end was asked for.
pub(crate) fn check() -> Result<()> {
    ensure!(!ASKED.load(Ordering::Relaxed), "interrupted: nothing was written, and all is cleaned up");
    Ok(())
}

extern "C" fn noted(_signal: nix::libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

static ASKED: AtomicBool = AtomicBool::new(false);
