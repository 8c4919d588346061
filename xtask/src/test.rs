// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask test [--quick]`: everything that CI checks, cheapest first.

use anyhow::Result;

use crate::steps::{Step, cargo, run_all, run_command};
use crate::{bench, e2e, ebpf, matrix, tidy};

/// What needs neither root nor a kernel.
pub(crate) fn quick() -> Result<()> {
    run_all("test --quick", &QUICK)
}

/// Everything, with the kernel object built from source, and the end-to-end tests and other kernels on that fresh
/// object.
pub(crate) fn full() -> Result<()> {
    let kernel: [Step; 4] = [
        ("kernel object from source", || ebpf::run(true)),
        ("end to end", || e2e::run(None)),
        ("kernel matrix", || matrix::run(&[])),
        ("instructions and memory", bench::watch),
    ];
    run_all("test", &[&QUICK[..], &kernel].concat())
}

const QUICK: [Step; 5] = [
    ("fmt", || run_command(&mut cargo(&["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("clippy", || {
        run_command(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    }),
    ("rustdoc", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
        run_command(doc.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("unit and property tests", || {
        run_command(&mut cargo(&["test", "--workspace", "--exclude", "ambassador-tests"]))
    }),
];
