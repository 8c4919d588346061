// SPDX-License-Identifier: Apache-2.0
//! Starts CMD in its cgroup, with everything else as the caller had it.
//!
//! The launcher is a thread of its own that is made before the proxy gives up its privileges: `no_new_privs` and
//! dropped capabilities are inherited through fork and exec, and CMD must keep what its caller had. CMD stays in the
//! caller's process group and session, so that the terminal and job control work as without ambassador.
#![allow(unsafe_code, reason = "std's pre_exec, and the system calls that are safe between fork and exec")]

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Child, Command},
    sync::mpsc,
    thread,
};

use nix::sys::signal::Signal;
use thiserror::Error;

use super::{caller_signals::CallerSignals, user::RunAs};

/// CMD and the ways in which it differs from this process.
pub struct CommandSpec {
    /// CMD and its arguments; not empty.
    pub argv: Vec<OsString>,
    /// `cgroup.procs` of its cgroup, open for writing.
    pub procs: File,
    /// Whom it runs as; `None`: as this process.
    pub run_as: Option<RunAs>,
    /// The signals of the caller.
    pub signals: CallerSignals,
    /// Soft and hard limit of open files that the caller had.
    pub open_files: (u64, u64),
}

/// CMD did not start.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// There is no such program (exit code 127, as env(1)).
    #[error("{}: no such command, or its interpreter is missing{}", .command.display(), shell_hint(.command))]
    NotFound {
        /// CMD.
        command: OsString,
    },
    /// The program cannot be executed (exit code 126, as env(1)).
    #[error("{}: cannot be executed", .command.display())]
    NotExecutable {
        /// CMD.
        command: OsString,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// CMD's surroundings could not be prepared.
    #[error("cannot place {} in its cgroup or change its user", .command.display())]
    Prepare {
        /// CMD.
        command: OsString,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What to do where a line of the shell was given as one word.
fn shell_hint(command: &OsStr) -> &'static str {
    let line = command.as_bytes().iter().any(|byte| b" \t\n|&;<>".contains(byte));
    if line { "; a line of the shell is run by `sh -c LINE`" } else { "" }
}

impl LaunchError {
    /// The exit code, as env(1).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Prepare { .. } => 125,
        }
    }
}

/// A thread that waits, with the caller's privileges, for the word to start CMD.
pub struct Launcher {
    go: mpsc::SyncSender<()>,
    thread: thread::JoinHandle<Option<Result<Child, LaunchError>>>,
}

impl Launcher {
    /// Makes the thread. Dropping the launcher without [`Launcher::launch`] starts nothing.
    pub fn new(spec: CommandSpec) -> io::Result<Self> {
        let (go, gate) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("launcher".into())
            .spawn(move || gate.recv().ok().map(|()| spawn(spec)))?;
        Ok(Self { go, thread })
    }

    /// Starts CMD and ends the thread.
    pub fn launch(self) -> Result<Child, LaunchError> {
        let gone = || LaunchError::Prepare {
            command: OsString::from("CMD"),
            source: io::Error::other("the launching thread is gone"),
        };
        self.go.send(()).map_err(|_| gone())?;
        self.thread.join().ok().flatten().ok_or_else(gone)?
    }
}

/// The exit code that a shell would show: CMD's own, or 128+n after signal n.
pub fn exit_code(status: std::process::ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(125);
    u8::try_from(code & 0xff).unwrap_or(125)
}

/// How CMD ended, in words.
pub fn end_of(status: std::process::ExitStatus) -> String {
    let code = exit_code(status);
    match status.signal().map(Signal::try_from) {
        Some(Ok(signal)) => format!("was killed by {signal} (exit code {code})"),
        // Real-time signals have no name.
        Some(Err(_)) => format!("was killed by signal {} (exit code {code})", code.saturating_sub(128)),
        None => format!("ended with exit code {code}"),
    }
}

fn spawn(spec: CommandSpec) -> Result<Child, LaunchError> {
    let CommandSpec { argv, procs, run_as, signals, open_files } = spec;
    let (program, arguments) = argv.split_first().map_or((OsString::new(), &[][..]), |(p, a)| (p.clone(), a));
    let mut command = Command::new(&program);
    command.args(arguments);
    if let Some(user) = &run_as {
        command.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    }
    // Written by the child when it fails before exec: exec's own errors must not be mistaken for those.
    let (failed, fails) =
        match nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK) {
            Ok(pipe) => pipe,
            Err(error) => return Err(LaunchError::Prepare { command: program, source: error.into() }),
        };
    let prepare =
        move || prepare(&procs, run_as.as_ref(), &signals, open_files).inspect_err(|_| note(&fails));
    // SAFETY: the closure runs between fork and exec; it only makes system calls on values that exist already, and
    // neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
    let result = command.spawn();
    drop(command);
    result.map_err(|source| {
        let prepared = nix::unistd::read(&failed, &mut [0; 1]).unwrap_or(0) == 0;
        match source.kind() {
            _ if !prepared => LaunchError::Prepare { command: program, source },
            io::ErrorKind::NotFound => LaunchError::NotFound { command: program },
            _ => LaunchError::NotExecutable { command: program, source },
        }
    })
}

fn note(fails: &OwnedFd) {
    let _ = nix::unistd::write(fails, b"!");
}

/// Makes the forked child what CMD is to be; the cgroup first, while the privileges for it are there.
fn prepare(
    procs: &File,
    user: Option<&RunAs>,
    signals: &CallerSignals,
    open_files: (u64, u64),
) -> io::Result<()> {
    // SAFETY: write(2) of a constant to a file that the closure owns.
    if unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } != 1 {
        return Err(io::Error::last_os_error());
    }
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, open_files.0, open_files.1)?;
    if let Some(user) = user {
        nix::unistd::setgroups(&user.groups)?;
        nix::unistd::setresgid(user.gid, user.gid, user.gid)?;
        nix::unistd::setresuid(user.uid, user.uid, user.uid)?;
    }
    signals.restore()
}
