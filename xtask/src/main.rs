// SPDX-License-Identifier: Apache-2.0
//! Every developer verb: `cargo xtask <verb>`. One file per verb.
//!
//! It exists so that a person and CI run the very same commands, on a machine with stable Rust and nothing else. It
//! never depends on the crate `ambassador`, which does not build while the kernel object is stale.
#![allow(clippy::print_stdout, reason = "the verbs speak to the developer on stdout")]

mod bench;
mod demo;
mod e2e;
mod ebpf;
mod foreign;
mod fuzz;
mod matrix;
mod setup;
mod soak;
#[path = "../../ambassador-ebpf/sources.rs"]
mod sources;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Developer verbs of ambassador", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Shows in a minute what ambassador does: three bad upstreams, directly and under `ambassador run`.
    Demo,
    /// Everything that CI checks.
    Test {
        /// Leaves out the kernel object and the end-to-end tests: no root needed.
        #[arg(long)]
        quick: bool,
    },
    /// The end-to-end tests on the real kernel, as root.
    E2e {
        /// A suite (the name of a file in tests/tests), or a part of the names of tests.
        filter: Option<String>,
    },
    /// Checks ambassador on other kernels, in emulated machines: Debian's 6.1, 6.12 and its newest; and that
    /// 5.10, which is too old, is refused.
    Matrix {
        /// `5.10`, `6.1`, `6.12`, `newest`, a suite of Debian (its newest kernel), or the path of a kernel image.
        kernels: Vec<String>,
    },
    /// Measures ambassador beside direct connections and its peers, and writes the tables into BENCHMARKS.md.
    Bench(bench::BenchArgs),
    /// Lets a fuzzer look for input that breaks what reads foreign bytes.
    Fuzz {
        /// One of the directories in fuzz/corpus; all of them if left out.
        target: Option<String>,
        /// How long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Adds what reaches new code to the checked-in corpus.
        #[arg(long)]
        keep: bool,
    },
    /// Other people's test suites, directly and through ambassador, test by test, as root.
    Foreign {
        /// One of the names in the first column of the table at its end.
        suite: Option<String>,
    },
    /// Rebuilds the checked-in kernel object from source.
    Ebpf {
        /// Brings the toolchain that the build needs first.
        #[arg(long)]
        install: bool,
    },
    /// The hostile suites at full length on the real kernel, as root: some minutes, ten at most.
    Soak,
    /// Checks what neither the compiler nor clippy sees.
    Tidy,
    /// Installs what the end-to-end tests need, with apt, as root.
    Setup,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Demo => demo::run(),
        Verb::Test { quick: true } => test::quick(),
        Verb::Test { quick: false } => test::full(),
        Verb::E2e { filter } => e2e::run(filter.as_deref()),
        Verb::Matrix { kernels } => matrix::run(kernels),
        Verb::Bench(arguments) => bench::run(arguments),
        Verb::Fuzz { target, seconds, keep } => {
            let keep = if *keep { fuzz::Keep::WhatAddsCoverage } else { fuzz::Keep::Nothing };
            fuzz::run(target.as_deref(), *seconds, keep)
        }
        Verb::Foreign { suite } => foreign::run(suite.as_deref()),
        Verb::Ebpf { install } => ebpf::run(*install),
        Verb::Soak => soak::run(),
        Verb::Tidy => tidy::run(),
        Verb::Setup => setup::run(),
    }
}
