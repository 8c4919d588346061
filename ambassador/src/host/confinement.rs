// SPDX-License-Identifier: Apache-2.0
//! The system calls that the proxy gives up for good, once CMD runs (seccomp).
//!
//! The proxy parses what strangers send. Should one of them ever make it run their code, that code must neither start
//! programs, nor look into other processes, nor touch the kernel beyond the maps that are open already. It is a list
//! of what is refused, not of what is allowed: which calls an allocator, a resolver or a new libc makes is not ours
//! to know. Refused calls fail with EPERM. CMD must never inherit it, so it is installed after CMD was started.

use std::{collections::BTreeMap, env::consts::ARCH};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads, sock_filter,
};
use thiserror::Error;

/// The filter could not be installed.
#[derive(Debug, Error)]
pub enum ConfinementError {
    /// It could not be built, for instance for an architecture that nobody wrote it for.
    #[error("there is no system call filter for {ARCH}")]
    Build(#[source] seccompiler::BackendError),
    /// The kernel refused it.
    #[error("the kernel refused the system call filter")]
    Install(#[source] seccompiler::Error),
}

/// Refuses the calls in every thread of this process, and in those that it starts from here on.
pub fn confine() -> Result<(), ConfinementError> {
    let filter = filter().map_err(ConfinementError::Build)?;
    apply_filter_all_threads(&filter).map_err(ConfinementError::Install)
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().flat_map(|(_reason, calls)| calls.iter()).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_bpf, all_but_elements()?);
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let listed = SeccompFilter::new(rules, SeccompAction::Allow, refuse, ARCH.try_into()?)?;
    let listed: BpfProgram = listed.try_into()?;
    Ok([&ONE_NUMBER_PER_CALL[..], &listed].concat())
}

/// Refuses every call from [`X32_SYSCALL_BIT`] on: kernels with the x32 ABI would take those numbers as a second name
/// of each call. No other architecture has calls of such numbers.
const ONE_NUMBER_PER_CALL: [sock_filter; 3] = [
    // BPF_LD | BPF_W | BPF_ABS: the number, which `struct seccomp_data` begins with.
    sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
    // BPF_JMP | BPF_JGE | BPF_K: a smaller one goes on behind the next instruction.
    sock_filter { code: 0x35, jt: 0, jf: 1, k: X32_SYSCALL_BIT },
    // BPF_RET | BPF_K.
    sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned() },
];

/// `__X32_SYSCALL_BIT` of `<asm/unistd.h>`.
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// Every command of bpf(2) but those on the elements of an open map.
fn all_but_elements() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let command = |operator, value| {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)?;
        SeccompRule::new(vec![condition])
    };
    Ok(vec![
        command(SeccompCmpOp::Lt, BPF_MAP_LOOKUP_ELEM)?,
        command(SeccompCmpOp::Gt, BPF_MAP_GET_NEXT_KEY)?,
    ])
}

/// The first of the four commands on elements: lookup, update, delete, next key.
const BPF_MAP_LOOKUP_ELEM: u64 = 1;
/// The last of them.
const BPF_MAP_GET_NEXT_KEY: u64 = 4;

/// What is refused altogether, each with the reason why nobody misses it.
const REFUSED: [(&str, &[libc::c_long]); 7] = [
    ("CMD is the only program that is ever started", &[libc::SYS_execve, libc::SYS_execveat]),
    (
        "other processes are none of its business",
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_kcmp,
            libc::SYS_pidfd_getfd,
        ],
    ),
    ("its namespaces were entered before", &[libc::SYS_setns, libc::SYS_unshare]),
    (
        "it mounts nothing",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
            libc::SYS_open_by_handle_at,
        ],
    ),
    (
        "its event loop is epoll; a ring would do unseen what is refused here",
        &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
    ),
    (
        "parts of the kernel that were often broken into",
        &[
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
        ],
    ),
    (
        "the machine is not its own",
        &[
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_sethostname,
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_built_here() {
        assert!(filter().expect("this architecture").len() > REFUSED.len());
    }
}
