// SPDX-License-Identifier: Apache-2.0
//! CMD while it runs, and what it leaves: signals are passed on, orphans are served.
//!
//! It never acts on a signal that the caller ignores, so that `nohup` covers ambassador together with CMD.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
};

use nix::sys::signal::Signal;

use super::AppError;
use crate::host::{
    caller_signals::CallerSignals,
    cgroup::RunCgroups,
    command,
    signals::{self, Signals},
};

/// Waits for a signal that would end a CMD which has only just begun; its exit code then. The terminal sends Ctrl-C
/// once, so that a CMD which begins later would never hear of it.
pub(super) async fn ended_early(signals: &Signals, of_caller: CallerSignals) -> Result<u8, AppError> {
    loop {
        let signal = signals.next().await.map_err(AppError::Process)?.signal;
        let harmless = matches!(signal, Signal::SIGCHLD | Signal::SIGCONT | Signal::SIGWINCH);
        if !harmless && !of_caller.ignores(signal) {
            return Ok(command::exit_code(ExitStatus::from_raw(signal as i32)));
        }
    }
}

/// Passes signals on to CMD, and waits for its end.
pub(super) async fn supervise(cmd: &mut Child, signals: &Signals) -> Result<ExitStatus, AppError> {
    loop {
        if let Some(status) = cmd.try_wait().map_err(AppError::Process)? {
            return Ok(status);
        }
        let arrived = signals.next().await.map_err(AppError::Process)?;
        signals::forward(arrived, cmd.id());
    }
}

/// Serves the processes that outlive CMD, until they have ended or somebody asks ambassador to.
pub(super) async fn serve_orphans(
    cgroups: &RunCgroups,
    signals: &Signals,
    of_caller: CallerSignals,
    status: ExitStatus,
) -> Result<(), AppError> {
    let emptied = cgroups.emptied();
    tokio::pin!(emptied);
    // What dies with CMD is gone within a moment: nothing worth a word.
    if let Ok(emptied) = tokio::time::timeout(MOMENT, &mut emptied).await {
        return Ok(emptied?);
    }
    let pids = cgroups.pids();
    tracing::warn!(
        ?pids,
        "CMD {} and left these processes; serving them until they end (Ctrl-C: leave them)",
        command::end_of(status)
    );
    loop {
        tokio::select! {
            emptied = &mut emptied => return Ok(emptied?),
            arrived = signals.next() => match arrived.map_err(AppError::Process)?.signal {
                signal if of_caller.ignores(signal) => {}
                Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT => return Ok(()),
                _ => {}
            },
        }
    }
}

/// How long processes may linger after CMD before ambassador says that it stays for them.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(250);
