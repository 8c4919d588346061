// SPDX-License-Identifier: Apache-2.0
//! Every developer verb of ambassador.
#![allow(unreachable_pub, reason = "verbs are public to the command line")]
mod ebpf;

fn main() -> anyhow::Result<()> {
    ebpf::run(std::env::args().any(|argument| argument == "--install"))
}
