// SPDX-License-Identifier: Apache-2.0
//! The `ambassador` binary: parses the command line and hands over.

fn main() -> std::process::ExitCode {
    ambassador::cli::main()
}
