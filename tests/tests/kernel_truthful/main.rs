// SPDX-License-Identifier: Apache-2.0
//! Connections that wait for their destination, on the real kernel: what is held, what is let in, what is told.
//!
//! The tests are the proxy: they answer a held SYN by hand, with raw packets. Clients are this binary again, in a
//! cgroup and a network namespace of their own. Needs root (`CAP_BPF`, `CAP_NET_ADMIN`, `CAP_NET_RAW`,
//! `CAP_SYS_ADMIN`) and a cgroup2; without them every test fails.
#![allow(clippy::print_stdout, reason = "a client answers on its standard output")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
#![allow(clippy::disallowed_methods, reason = "the clients under test dial as any program does")]

mod client;
mod held;
mod let_in;
mod limits;
mod storm;
mod truth;
mod verdicts;
mod wire;

#[path = "../kernel_redirect/world.rs"]
#[allow(dead_code, reason = "a world for tests of interception as a whole")]
mod world;

/// Not a test: what the clients run.
#[test]
fn client_entry() {
    client::main();
}
