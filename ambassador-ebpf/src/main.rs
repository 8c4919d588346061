// SPDX-License-Identifier: Apache-2.0
//! The kernel programs of ambassador, compiled for `bpfel-unknown-none` only (`cargo xtask ebpf`).
//!
//! They gather facts and act on [`decide`](ambassador_ebpf::decide::decide); nothing is decided here.
//! On the intercepted cgroup: `connect4`, `connect6`, `getpeername4`, `getpeername6`, `so_main`; on the proxy's own:
//! `so_passive`; on its listeners, where connections wait for their destination: `lfilter`. The way of a redirected
//! connection: `connect*` keeps its origin in the client socket's storage, `so_main` announces it under its tuple
//! before the SYN leaves, `lfilter` holds the SYN, `so_passive` moves the origin to the accepted socket before
//! `accept()` can return it. Programs that can write debug lines exist twice, see [`variant`].
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod connect;
mod counters;
mod delivery;
mod events;
mod filter;
mod flows;
mod local_name;
mod lookup;
mod maps;
mod peer_name;
mod segment;
mod socket;
mod storage;
mod variant;
mod verdicts;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Several helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
