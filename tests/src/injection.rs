// SPDX-License-Identifier: Apache-2.0
//! A system call made by a thread of another process: its code is not asked.
//!
//! It exists because only the thread itself can show what the kernel refuses it. The thread must be waiting in a system
//! call; it is stopped, made to repeat the instruction that brought it there with other arguments, and put back.

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Makes `thread` call `number` with `arguments` (the further ones are zero), and returns the error it gets; `None`
/// where it succeeds.
pub fn system_call(thread: Pid, number: libc::c_long, arguments: [u64; 3]) -> Result<Option<Errno>> {
    ptrace::attach(thread).with_context(|| format!("trace thread {thread}"))?;
    let result = until_stopped(thread).and_then(|()| repeat(thread, number, arguments));
    ptrace::detach(thread, None).with_context(|| format!("leave thread {thread}"))?;
    let result = result?;
    Ok((result < 0).then(|| Errno::from_raw(i32::try_from(-result).unwrap_or(0))))
}

fn repeat(thread: Pid, number: libc::c_long, arguments: [u64; 3]) -> Result<i64> {
    let saved = ptrace::getregs(thread).context("read the registers")?;
    let start = saved.rip - LENGTH;
    let code = ptrace::read(thread, start as ptrace::AddressType).context("read the code")?;
    ensure!(code & 0xffff == SYSCALL, "thread {thread} does not wait in a system call");
    let mut changed = saved;
    changed.rip = start;
    changed.rax = number.cast_unsigned();
    // The call that was interrupted is not to be taken up again before this one.
    changed.orig_rax = u64::MAX;
    [changed.rdi, changed.rsi, changed.rdx] = arguments;
    [changed.r10, changed.r8, changed.r9] = [0; 3];
    ptrace::setregs(thread, changed).context("write the registers")?;
    ptrace::step(thread, None).context("take one step")?;
    until_stopped(thread)?;
    let result = ptrace::getregs(thread).context("read the result")?.rax.cast_signed();
    ptrace::setregs(thread, saved).context("put the registers back")?;
    Ok(result)
}

fn until_stopped(thread: Pid) -> Result<()> {
    match waitpid(thread, Some(WaitPidFlag::__WALL)).context("wait for the thread to stop")? {
        WaitStatus::Stopped(..) => Ok(()),
        other => bail!("thread {thread} did not stop: {other:?}"),
    }
}

/// `syscall`, as it stands in memory, and its length.
const SYSCALL: libc::c_long = 0x050f;
const LENGTH: u64 = 2;
