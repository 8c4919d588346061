// SPDX-License-Identifier: Apache-2.0
//! The signals that ambassador passes on to CMD.
//!
//! CMD shares the caller's process group, so what the terminal sends (Ctrl-C, Ctrl-\, a hang-up, a new window size)
//! reaches it without help; passing it on again would deliver it twice. What is sent to ambassador's pid alone
//! (`kill`, a service manager, a parent) is passed on. Ambassador itself dies of neither while CMD lives.

use std::io;

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::Pid,
};

use super::readable::Readable;

/// Everything that can be caught and has a meaning between processes. The stop signals keep their default: the shell
/// must see its job stop.
const FORWARDED: [Signal; 10] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGCHLD,
];

/// Blocks the signals in the calling thread and all that it spawns later.
pub fn block() -> nix::Result<()> {
    let blocked: SigSet = FORWARDED.into_iter().collect();
    blocked.thread_block()
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Which one.
    pub signal: Signal,
    /// The kernel sent it, to the whole foreground process group.
    pub from_terminal: bool,
    /// Who sent it, in this pid namespace; 0 if it was the kernel.
    pub sender: i32,
}

/// The blocked signals, as they arrive.
pub struct Signals {
    fd: Readable<SignalFd>,
}

impl Signals {
    /// Opens them; needs the runtime that will await them.
    pub fn open() -> io::Result<Self> {
        let set: SigSet = FORWARDED.into_iter().collect();
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd: Readable::new(fd)? })
    }

    /// Waits for the next one.
    pub async fn next(&self) -> io::Result<Arrived> {
        self.fd
            .take(|fd| match fd.read_signal() {
                Ok(info) => Ok(info.and_then(|info| Arrived::from_kernel(&info))),
                Err(Errno::EAGAIN) => Ok(None),
                Err(error) => Err(error.into()),
            })
            .await
    }
}

impl Arrived {
    fn from_kernel(info: &libc::signalfd_siginfo) -> Option<Self> {
        Some(Self {
            signal: Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?,
            from_terminal: info.ssi_code == libc::SI_KERNEL,
            sender: i32::try_from(info.ssi_pid).unwrap_or(0),
        })
    }
}

/// Passes `arrived` on to CMD unless CMD got it already, or sent it.
pub fn forward(arrived: Arrived, cmd: u32) {
    let Ok(cmd) = i32::try_from(cmd) else { return };
    if arrived.signal == Signal::SIGCHLD || arrived.from_terminal || arrived.sender == cmd {
        return;
    }
    // It is gone if this fails; its exit status is on its way.
    let _ = kill(Pid::from_raw(cmd), arrived.signal);
}
