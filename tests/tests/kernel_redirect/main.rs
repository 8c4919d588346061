// SPDX-License-Identifier: Apache-2.0
//! The kernel programs on the real kernel: what is redirected, what is left alone, and what the proxy is told.
//!
//! Clients are this binary again, in a cgroup and a network namespace of their own. Needs root (`CAP_BPF`,
//! `CAP_NET_ADMIN`, `CAP_SYS_ADMIN`) and a cgroup2; without them every test fails.
#![allow(clippy::print_stdout, reason = "a client answers on its standard output")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
#![allow(clippy::disallowed_methods, reason = "the clients under test dial as any program does")]

mod client;
mod rules;
mod storm;
mod way;
mod world;

/// Not a test: what the clients run.
#[test]
fn client_entry() {
    client::main();
}
