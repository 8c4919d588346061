// SPDX-License-Identifier: Apache-2.0
//! The caller's signals: which it blocks, and which it ignores.
//!
//! It exists because both are inherited through exec, and CMD must have them as its caller had: `nohup`, a shell's
//! `trap ''`, a service manager. std ignores SIGPIPE before `main`, so that is looked at before std begins; nothing that
//! ambassador writes to a socket may raise it.
#![allow(unsafe_code, reason = "nothing safe asks for a disposition, or runs before std")]

use std::{
    io, mem, ptr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_pipe;

extern "C" fn note_pipe() {
    PIPE_WAS_IGNORED.store(is_ignored(Signal::SIGPIPE), Relaxed);
}

/// What the caller blocks and ignores.
#[derive(Clone, Copy, Debug)]
pub struct CallerSignals {
    mask: SigSet,
    ignored: SigSet,
}

impl CallerSignals {
    /// As the caller left them, before ambassador changes any. Waiting for children takes SIGCHLD: who ignores it has none to wait for.
    pub fn read() -> nix::Result<Self> {
        let other = Signal::iterator().filter(|signal| *signal != Signal::SIGPIPE && is_ignored(*signal));
        let pipe = PIPE_WAS_IGNORED.load(Relaxed).then_some(Signal::SIGPIPE);
        let ignored: SigSet = other.chain(pipe).collect();
        if ignored.contains(Signal::SIGCHLD) {
            // SAFETY: the default action runs no code of this process.
            unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        }
        Ok(Self { mask: SigSet::thread_get_mask()?, ignored })
    }

    /// The caller ignores `signal`.
    pub fn ignores(&self, signal: Signal) -> bool {
        self.ignored.contains(signal)
    }

    /// Makes the forked child what the caller is. Only makes system calls.
    pub(super) fn restore(&self) -> io::Result<()> {
        for changed in [Signal::SIGPIPE, Signal::SIGCHLD] {
            if self.ignores(changed) {
                // SAFETY: ignoring runs no code of this process.
                unsafe { signal(changed, SigHandler::SigIgn) }?;
            }
        }
        Ok(self.mask.thread_set_mask()?)
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: zeros are a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: without a new action, the kernel only writes the present one to where the pointer leads.
    let asked = unsafe { libc::sigaction(signal as libc::c_int, ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
